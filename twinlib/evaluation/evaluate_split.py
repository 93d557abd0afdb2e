"""One split judged: the errors of a twin beside the baselines, in one pass of constant memory."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import oaconvolve

from twinlib.db import power_to_db
from twinlib.errors import DatasetError
from twinlib.evaluation.baselines import LinearFit
from twinlib.evaluation.excerpts import Process, Span, blocks, peaks
from twinlib.evaluation.grouped_errors import Breakdown
from twinlib.evaluation.metrics import MIN_ESR, Errors, Metrics, nine_digits
from twinlib.evaluation.settings import Evaluation
from twinlib.evaluation.statistics import Curve, Quantiles, Spectrum, Transfer
from twinlib.progress import Progress, no_progress

LONGEST_FRAME = 4096
"""The window length in samples of the long-term spectra, where the spans are that long."""


@dataclass(frozen=True)
class Listener:
    """A twin as the evaluation sees it: `fresh()` starts it, an output depends on `receptive_field` samples."""

    fresh: Callable[[], Process]
    sample_rate: int
    guard: int
    """Samples by which its output, and the wet signal, are late on purpose."""
    receptive_field: int

    def warm_up(self, settings: Evaluation) -> int:
        """How many dry samples of true history every judged sample needs: the twin's, and the linear filter's."""
        return max(self.receptive_field, settings.taps) - 1


@dataclass(frozen=True)
class Judgement:
    """The numbers of a split and what its figures show; `cpu_seconds` is what the twin took, nothing else."""

    metrics: Metrics
    fir: npt.NDArray[np.float64]
    cpu_seconds: float
    frequencies: Curve
    densities: dict[str, Curve]
    transfers: dict[str, Quantiles]
    breakdown: Breakdown


def evaluate_split(
    listener: Listener, spans: Sequence[Span], settings: Evaluation, progress: Progress = no_progress
) -> Judgement:
    """Judge a twin on spans that have `listener.warm_up(settings)` samples of history; reports seconds to `progress`.

    Every span starts from its true history. Errors are pooled over all spans. Raises `DatasetError` if there is nothing
    to judge, if a span lacks history, or if the signals are silent; `ModelError` if the twin's output is not finite.
    """
    warm_up = listener.warm_up(settings)
    if not spans:
        raise DatasetError("there is nothing to judge: give more audio to this split")
    if min(span.history for span in spans) < warm_up:
        raise DatasetError(f"a span has less than the {warm_up} samples of history that the twin needs")
    errors = Errors(listener.sample_rate, settings.preemphasis)
    breakdown = Breakdown(listener.sample_rate)
    fit = LinearFit(settings.taps)
    length = min(LONGEST_FRAME, 1 << (max(span.frames for span in spans).bit_length() - 1))
    spectra = {name: Spectrum(length, listener.sample_rate) for name in ("device", "twin", "error")}
    dry_peak, wet_peak = peaks(spans)
    transfers = {name: Transfer(dry_peak, wet_peak) for name in ("device", "twin")}
    cpu_seconds = 0.0
    for span in spans:
        errors.start()
        breakdown.start(span)
        for spectrum in spectra.values():
            spectrum.start()
        process = listener.fresh()
        process(span.read_dry(span.start - warm_up, span.start))
        for dry, wet in blocks(span, warm_up):
            before = time.process_time()
            twin = process(dry[warm_up:])
            cpu_seconds += time.process_time() - before
            errors.add(wet, twin)
            breakdown.add(wet, twin)
            fit.add(dry[warm_up + 1 - settings.taps :], wet)
            for name, samples in (("device", wet), ("twin", twin), ("error", twin - wet)):
                spectra[name].add(samples)
            undelayed = dry[warm_up - listener.guard : len(dry) - listener.guard]
            transfers["device"].add(undelayed, wet)
            transfers["twin"].add(undelayed, twin)
            progress(len(wet) / listener.sample_rate)
    baselines = fit.solve(listener.guard)
    found = errors.result()
    esr = found["esr"] or 0.0
    metrics = {
        **found,
        "esr_dry": baselines.esr_dry,
        "esr_gain": baselines.esr_gain,
        "esr_linear": baselines.esr_linear,
        "gain_over_linear_db": power_to_db(baselines.esr_linear, MIN_ESR) - power_to_db(esr, MIN_ESR),
    }
    return Judgement(
        metrics={name: nine_digits(value) for name, value in metrics.items()},
        fir=baselines.fir,
        cpu_seconds=cpu_seconds,
        frequencies=spectra["device"].frequencies,
        densities={name: spectrum.density() for name, spectrum in spectra.items()},
        transfers={name: transfer.quantiles() for name, transfer in transfers.items()},
        breakdown=breakdown,
    )


def linear_breakdown(fir: npt.NDArray[np.float64], spans: Sequence[Span], sample_rate: int) -> Breakdown:
    """What a linear filter `(taps,)`, such as that of a judgement, makes of spans, broken down as a twin's errors are.

    It takes a second pass over the spans, for the filter is known only after the first.
    """
    found = Breakdown(sample_rate)
    for span in spans:
        found.start(span)
        for dry, wet in blocks(span, len(fir) - 1):
            found.add(wet, oaconvolve(dry, fir, "valid").astype(np.float32))
    return found
