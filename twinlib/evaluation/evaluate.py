"""Evaluation of a trained twin: on its data set, or on any aligned pair of files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from twinlib.audio import Signal
from twinlib.contracts import SPLITS, TWIN_FILE
from twinlib.dataset import Shards, Stretch, find_stretches
from twinlib.errors import DatasetError, ModelError
from twinlib.evaluation.evaluate_split import SplitEvaluation, evaluate_split, group_linear_errors
from twinlib.evaluation.excerpts import AlignedSpan, ExcerptAudio, ReadSamples, SpanPart, find_loudest, total_seconds
from twinlib.evaluation.grouped_errors import tabulate
from twinlib.evaluation.outliers import find_outliers
from twinlib.evaluation.perceptual import load_visqol
from twinlib.evaluation.residuals import LabelledSpan, measure_residuals, noise_floor_of_takes, residual_seconds
from twinlib.evaluation.settings import Evaluation
from twinlib.evaluation.twin_runner import TwinRunner, create_runner, render_excerpt
from twinlib.evaluation.verdict import is_pair, judge_takes, judge_twin
from twinlib.files import sha256_file
from twinlib.findings import Finding, Verdict
from twinlib.measurement import measure_aliasing
from twinlib.model import Twin, load_twin
from twinlib.progress import Progress, no_progress
from twinlib.training import late_improvement

_WAVEFORM_SECONDS = 0.02

MIN_ALIASING_HZ, PROBE_ALIASING_DBFS = 1000.0, (-12.0, -3.0)
"""The lowest frequency, and the levels, of the sines of the probe reel that show aliases."""


@dataclass(frozen=True)
class TwinEvaluation:
    """The result of an evaluation: the content of metrics.json, and the data of figures and listening clips.

    `test` is the evaluation of the test split, `clips` are its loudest excerpts, `waveform` is its loudest 20 ms, which
    start `waveform_seconds` after the beginning of the evaluated audio.
    """

    title: str
    sample_rate: int
    metrics: dict[str, Any]
    test: SplitEvaluation
    clips: list[ExcerptAudio]
    waveform: ExcerptAudio
    waveform_seconds: float


@dataclass(frozen=True)
class TakeUnderTest:
    """The wet file of an evaluated pair: name, seconds before its first aligned sample, verdict of the alignment."""

    name: str = "take"
    seconds: float = 0.0
    verdict: Verdict = "ok"
    reasons: tuple[str, ...] = ()


def evaluate_twin(
    twin_path: Path,
    segments: pd.DataFrame,
    shards: Path,
    dataset: dict[str, Any],
    settings: Evaluation,
    measurements: dict[str, Any] | None = None,
    curve: pd.DataFrame | None = None,
    progress: Progress = no_progress,
    probe_takes: Mapping[str, Mapping[str, Any]] | None = None,
) -> TwinEvaluation:
    """Evaluate a twin on its data set.

    `segments` and `dataset` have the contracts `segments/1` and `dataset/1`, `shards` is the folder of the shards,
    `measurements` are those of the probe reel for the device and this twin (`measurements/1`), `curve` is the learning
    curve (`training/1`), `probe_takes` holds the verdicts on the take of the probe reel (`take_verdicts`) by its name.
    Equal input gives equal numbers except `realtime_factor` (seconds of audio per second of CPU time). `progress`
    counts seconds of audio.

    Raises `ConfigError` if ViSQOL is requested but missing, `ModelError` if the twin is unreadable or belongs to
    another data set, `DatasetError` if a split is empty or silent.
    """
    # Before the evaluation, so that a missing package does not waste an hour of work.
    rate = load_visqol() if settings.visqol else None
    twin = load_twin(twin_path)
    _check_match(twin, twin_path, dataset)
    runner = create_runner(twin)
    digest = sha256_file(twin_path / TWIN_FILE if twin_path.is_dir() else twin_path)
    if measurements is not None:
        _check_measurements(measurements, digest)
        settings = settings.for_response(measurements["device"]["impulse_samples"])
    source = _SpanSource(segments, shards, runner.warm_up(settings))
    splits = {
        name: evaluate_split(runner, source.open_split(name), settings, progress) for name in _split_names(settings)
    }
    test, spans = splits["test"], source.open_split("test")
    clips = _render_loudest(runner, test, spans, settings.clip_seconds)
    metrics = {
        **_describe(twin),
        "dataset": dataset["digest"],
        "twin_sha256": digest,
        "realtime_factor": _realtime_factor(test),
        **test.metrics,
        "splits": {name: split.metrics for name, split in splits.items()},
        **tabulate(test.grouped, group_linear_errors(test.fir, spans, runner.sample_rate)),
        "aliasing": _aliasing(runner, measurements),
    }
    if measurements is not None:
        metrics |= _probe_metrics(measurements)
    windows = _residuals(runner, segments, shards, progress)
    if "esr_floor" not in metrics and (floor := noise_floor_of_takes(windows, dataset["captures"])) is not None:
        metrics["esr_floor"] = floor
    metrics |= _judge(metrics, find_outliers(windows), {**dataset["captures"], **(probe_takes or {})}, curve)
    if rate is not None:
        wet, predicted = (np.concatenate([getattr(clip, name) for clip in clips]) for name in ("wet", "twin"))
        metrics["visqol"] = rate(wet, predicted, runner.sample_rate)
    excerpt = find_loudest(spans, round(_WAVEFORM_SECONDS * runner.sample_rate))[0]
    span = spans[excerpt.span]
    seconds = total_seconds(spans[: excerpt.span], runner.sample_rate)
    return TwinEvaluation(
        title=f"{twin.device}, {twin.model}",
        sample_rate=runner.sample_rate,
        metrics=metrics,
        test=test,
        clips=clips,
        waveform=render_excerpt(runner, test.fir, span, excerpt.start, excerpt.stop),
        waveform_seconds=seconds + (excerpt.start - span.start) / runner.sample_rate,
    )


def evaluate_pair(
    twin: Twin,
    read_dry: ReadSamples,
    read_wet: ReadSamples,
    frames: int,
    settings: Evaluation,
    take: TakeUnderTest | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Evaluate a twin on any aligned pair of `frames` samples; return the metrics of one split, verdict and identity.

    The readers return samples [start, stop) of one channel as float32. The wet signal is delayed by the twin's guard,
    as `twinlib.alignment.warp` returns it. The first samples serve as history and are not evaluated. `take` names the
    wet file for the verdict. Raises `DatasetError` if the pair is shorter than that history.
    """
    runner = create_runner(twin)
    warm_up = runner.warm_up(settings)
    if frames <= warm_up:
        seconds = frames / runner.sample_rate
        raise DatasetError(
            f"the pair is too short: {frames} samples ({seconds:.2f} s), but the twin needs {warm_up} samples of "
            "history before the first evaluated one"
        )
    span, take = AlignedSpan(read_dry, read_wet, warm_up, frames, warm_up), take or TakeUnderTest()
    result = evaluate_split(runner, [span], settings, progress)
    labelled = LabelledSpan(span, take.name, "test", take.seconds + warm_up / runner.sample_rate)
    outliers = find_outliers(measure_residuals(runner, [labelled]))
    metrics = {**_describe(twin), "realtime_factor": _realtime_factor(result), **result.metrics}
    capture = {"alignment_verdict": take.verdict, "alignment_reasons": take.reasons}
    return metrics | _judge(metrics, outliers, {take.name: capture})


def evaluation_seconds(segments: pd.DataFrame, settings: Evaluation, sample_rate: int) -> float:
    """Return the approximate seconds of audio that `evaluate_twin` reports to `progress`."""
    lengths = (segments["stop"] - segments["start"]).groupby(segments["split"]).sum() / sample_rate
    evaluated, used = (float(lengths.reindex(list(names)).sum()) for names in (_split_names(settings), SPLITS))
    return evaluated + residual_seconds(used)


def _split_names(settings: Evaluation) -> list[str]:
    return [*(["train"] if settings.judge_train else []), "valid", "test"]


def _residuals(runner: TwinRunner, segments: pd.DataFrame, shards: Path, progress: Progress) -> pd.DataFrame:
    """Return the windows of the residual over all splits."""
    source = _SpanSource(segments, shards, max(runner.receptive_field - 1, runner.guard))
    return measure_residuals(runner, [span for split in SPLITS for span in source.open_labelled(split)], progress)


def _judge(
    metrics: dict[str, Any],
    outliers: dict[str, list[Finding]],
    captures: dict[str, Any],
    curve: pd.DataFrame | None = None,
) -> dict[str, Any]:
    improvement = None if curve is None else late_improvement(curve)
    of_pairs = any(is_pair(capture) for capture in captures.values())
    return judge_twin(metrics, judge_takes(captures, outliers), improvement, of_pairs)


class _SpanSource:
    """The spans of a data set's splits, from memory-mapped shards; their parts are labelled by tracks or captures.

    A segment has the names of all tracks in it, crossfades included; the guard, which delays a track in the wet signal,
    is too short to matter. Segments of a pair have the name of their capture.
    """

    def __init__(self, segments: pd.DataFrame, shards: Path, warm_up: int) -> None:
        self._segments, self._warm_up = segments, warm_up
        self._shards = Shards(segments, shards, warm_up + 1)

    def open_split(self, split: str) -> list[AlignedSpan]:
        return [labelled.span for labelled in self.open_labelled(split)]

    def open_labelled(self, split: str) -> list[LabelledSpan]:
        rows = self._segments[(self._segments["split"] == split) & (self._segments["row"] >= 0)]
        columns = (rows[name] for name in ("shard", "row", "capture", "track_ids", "lag"))
        labels, lags = {}, {}
        for shard_name, row, capture, tracks, lag in zip(*columns, strict=True):
            place = str(shard_name), int(row)
            labels[place] = tuple(str(track) for track in tracks) or (str(capture),)
            lags[place] = float(lag)
        spans = []
        for stretch in find_stretches(self._segments, split, self._warm_up + 1):
            shard = self._shards[stretch.shard]
            first = stretch.first_output(self._warm_up + 1)
            size, rate = shard.metadata.segment_samples, shard.metadata.sample_rate
            parts = _split_into_parts(stretch, labels, size)
            dry, wet = _copying_reader(shard.dry), _copying_reader(shard.wet)
            span = AlignedSpan(dry, wet, first, stretch.stop, self._warm_up, parts, stretch.shard)
            seconds = (stretch.dry_start + first - stretch.start + lags[stretch.shard, first // size]) / rate
            spans.append(LabelledSpan(span, stretch.capture, split, seconds))
        return spans


def _split_into_parts(
    stretch: Stretch, labels: dict[tuple[str, int], tuple[str, ...]], size: int
) -> tuple[SpanPart, ...]:
    """Join consecutive segments of `size` samples with equal labels."""
    rows = range(stretch.start // size, stretch.stop // size)
    runs = groupby(rows, key=lambda row: labels[stretch.shard, row])
    return tuple(SpanPart((max(run) + 1) * size, label) for label, run in runs)


def _copying_reader(samples: Signal) -> ReadSamples:
    # torch rejects the read-only views of a memory map.
    return lambda start, stop: samples[start:stop].copy()


def _render_loudest(
    runner: TwinRunner, split: SplitEvaluation, spans: Sequence[AlignedSpan], seconds: float
) -> list[ExcerptAudio]:
    excerpts = find_loudest(spans, round(seconds * runner.sample_rate))
    return [render_excerpt(runner, split.fir, spans[one.span], one.start, one.stop) for one in excerpts]


def _describe(twin: Twin) -> dict[str, Any]:
    return {
        "device": twin.device,
        "model": twin.model,
        "sample_rate": twin.sample_rate,
        "parameters": twin.network.parameters,
        "receptive_field": twin.network.receptive_field,
        "linear_taps": 0 if twin.linear_filter is None else len(twin.linear_filter),
    }


def _realtime_factor(split: SplitEvaluation) -> float:
    seconds = split.metrics["seconds"] or 0.0
    return float(f"{seconds / max(split.cpu_seconds, 1e-9):.4g}")


def _probe_metrics(measurements: dict[str, Any]) -> dict[str, Any]:
    device = measurements["device"]
    optional = {"esr_floor": device["esr_floor"], "music_withdrawn": device["music_withdrawn"] or None}
    return {
        **{name: value for name, value in optional.items() if value is not None},
        "harmonics": measurements["comparison"],
        "impulse_samples": device["impulse_samples"],
    }


def _aliasing(runner: TwinRunner, measurements: dict[str, Any] | None) -> dict[str, Any]:
    """Return the aliases of the twin, and the inharmonic part of device and twin for the probe reel, if it exists."""
    sines = measure_aliasing(lambda dry: runner.start()(dry), runner.sample_rate)
    probes = {} if measurements is None else {name: measurements[name]["sines"] for name in ("device", "twin")}
    probe = [
        {
            "hz": device["hz"],
            "level_dbfs": device["level_dbfs"],
            "device_db": device["alias_db"],
            "twin_db": twin["alias_db"],
        }
        for device, twin in zip(probes.get("device", ()), probes.get("twin", ()), strict=True)
        if device["hz"] >= MIN_ALIASING_HZ and device["level_dbfs"] in PROBE_ALIASING_DBFS
    ]
    return {"worst_db": max((sine["alias_db"] for sine in sines), default=None), "sines": sines, "probe": probe}


def _check_match(twin: Twin, path: Path, dataset: dict[str, Any]) -> None:
    for name, trained, given in (
        ("data set", twin.dataset, dataset["digest"]),
        ("sample rate", twin.sample_rate, dataset["sample_rate"]),
        ("guard", twin.guard_samples, dataset["guard_samples"]),
    ):
        if trained != given:
            raise ModelError(
                f"{path} was trained with {name} {trained}, but this data set has {given}: its test split may contain "
                "training data of the twin; train the twin again"
            )


def _check_measurements(measurements: dict[str, Any], twin_sha256: str) -> None:
    if measurements["twin_sha256"] != twin_sha256:
        raise ModelError("the measurements belong to another twin: measure this twin again")
