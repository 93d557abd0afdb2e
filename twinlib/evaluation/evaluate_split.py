"""Evaluation of one split: errors of a twin and its baselines, in one pass of constant memory."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import oaconvolve

from twinlib.db import MIN_ESR, power_to_db
from twinlib.errors import DatasetError
from twinlib.evaluation.baselines import LinearFit
from twinlib.evaluation.excerpts import AlignedSpan, iterate_blocks, peak_magnitudes
from twinlib.evaluation.grouped_errors import GroupedErrors
from twinlib.evaluation.metrics import ErrorAccumulator, Metrics, round_metric
from twinlib.evaluation.settings import Evaluation
from twinlib.evaluation.statistics import Curve, TransferHistogram, TransferQuantiles, WelchSpectrum
from twinlib.evaluation.twin_runner import TwinRunner
from twinlib.progress import Progress, no_progress

MAX_WINDOW = 4096
"""The window length in samples of the long-term spectra, unless all spans are shorter."""


@dataclass(frozen=True)
class SplitEvaluation:
    """The metrics of a split, the data of its figures, and the CPU time of the twin alone."""

    metrics: Metrics
    fir: npt.NDArray[np.float64]
    cpu_seconds: float
    frequencies: Curve
    densities: dict[str, Curve]
    transfers: dict[str, TransferQuantiles]
    grouped: GroupedErrors


def evaluate_split(
    runner: TwinRunner, spans: Sequence[AlignedSpan], settings: Evaluation, progress: Progress = no_progress
) -> SplitEvaluation:
    """Evaluate a twin on spans with `runner.warm_up(settings)` samples of history; `progress` counts seconds.

    Every span starts from its true history. Errors are pooled over all spans. Raises `DatasetError` without spans, if a
    span lacks history, or if the signals are silent; `ModelError` if the twin's output is not finite.
    """
    warm_up = runner.warm_up(settings)
    if not spans:
        raise DatasetError("no span to evaluate: add audio to this split")
    if min(span.history for span in spans) < warm_up:
        raise DatasetError(f"a span has less than the {warm_up} samples of history that the twin needs")
    errors = ErrorAccumulator(runner.sample_rate, settings.preemphasis)
    grouped = GroupedErrors(runner.sample_rate)
    fit = LinearFit(settings.taps)
    length = min(MAX_WINDOW, 1 << (max(span.frames for span in spans).bit_length() - 1))
    spectra = {name: WelchSpectrum(length, runner.sample_rate) for name in ("device", "twin", "error")}
    dry_peak, wet_peak = peak_magnitudes(spans)
    transfers = {name: TransferHistogram(dry_peak, wet_peak) for name in ("device", "twin")}
    cpu_seconds = 0.0
    for span in spans:
        errors.start()
        grouped.start(span)
        for spectrum in spectra.values():
            spectrum.start()
        process = runner.start()
        process(span.read_dry(span.start - warm_up, span.start))
        for dry, wet in iterate_blocks(span, warm_up):
            before = time.process_time()
            twin = process(dry[warm_up:])
            cpu_seconds += time.process_time() - before
            errors.add(wet, twin)
            grouped.add(wet, twin)
            fit.add(dry[warm_up + 1 - settings.taps :], wet)
            for name, samples in (("device", wet), ("twin", twin), ("error", twin - wet)):
                spectra[name].add(samples)
            undelayed = dry[warm_up - runner.guard : len(dry) - runner.guard]
            transfers["device"].add(undelayed, wet)
            transfers["twin"].add(undelayed, twin)
            progress(len(wet) / runner.sample_rate)
    baselines = fit.solve(runner.guard)
    result = errors.result()
    esr = result["esr"] or 0.0
    metrics = {
        **result,
        "esr_dry": baselines.esr_dry,
        "esr_gain": baselines.esr_gain,
        "esr_linear": baselines.esr_linear,
        "gain_over_linear_db": power_to_db(baselines.esr_linear, MIN_ESR) - power_to_db(esr, MIN_ESR),
    }
    return SplitEvaluation(
        metrics={name: round_metric(value) for name, value in metrics.items()},
        fir=baselines.fir,
        cpu_seconds=cpu_seconds,
        frequencies=spectra["device"].frequencies,
        densities={name: spectrum.density() for name, spectrum in spectra.items()},
        transfers={name: transfer.quantiles() for name, transfer in transfers.items()},
        grouped=grouped,
    )


def group_linear_errors(fir: npt.NDArray[np.float64], spans: Sequence[AlignedSpan], sample_rate: int) -> GroupedErrors:
    """Group the errors of a linear filter `(taps,)`, such as `SplitEvaluation.fir`, like the errors of a twin.

    This is a second pass over the spans, because the filter is known only after the first.
    """
    grouped = GroupedErrors(sample_rate)
    for span in spans:
        grouped.start(span)
        for dry, wet in iterate_blocks(span, len(fir) - 1):
            grouped.add(wet, oaconvolve(dry, fir, "valid").astype(np.float32))
    return grouped
