"""Alignment of a wet recording with its dry signal: lag, drift, dropouts, polarity, and warping onto the dry clock.

`pipeline.align` runs five stages, each in its own modules:

    locate      the clicks of a reel or loud excerpts of a pair, and one place where both match
    tracker     from there through the programme, window by window, across dropouts of any length
    lag_track   the lag of each window by GCC-PHAT; `clock` fits it: one drift, a constant for each piece; `dropouts`
                finds the steps, `refine` iterates, `wow_flutter` follows a clock whose speed varies
    residual    the whole take against a linear prediction of it
    verdict     findings, excluded ranges and the choice of the warp

The estimators that know nothing of takes are in `twinlib.estimation`. `result` defines the contract alignment/2, `warp`
reads the wet signal on the dry clock, and `probe_take` aligns takes of the probe reel.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
