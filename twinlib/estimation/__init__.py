"""Estimators on arrays and channels, which know nothing of takes, reels and findings.

    delay                time delay by GCC-PHAT, integer peaks and sub-sample refinement
    matched_filter       a known click and its exact delay
    excerpt_search       loud excerpts of one signal in another
    sweeps               sine sweeps, and their lag and delays in a distorted signal
    change_points        steps of a slowly varying series
    robust               median absolute deviation and biweight
    line_fit             robust lines, and parallel lines of several pieces
    smoothing_spline     a robust spline with standard errors
    variance_components  slow variation, scatter, and what two series share
    frame_comparison     a signal and its prediction, frame by frame
    linear_model         the FIR filter between two signals, and its predictions
    fir_fit              the FIR filter between two signals of any length, in constant memory

Lags and delays are in samples.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
