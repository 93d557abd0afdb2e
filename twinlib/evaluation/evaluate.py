"""A trained twin judged: on its data set with figures and clips, or on any aligned pair of files."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.signal import fftconvolve

from twinlib.audio import BLOCK, Signal
from twinlib.contracts import LINEAR, METRICS, TWIN_FILE
from twinlib.dataset.loader import Shards, Stretch, stretches
from twinlib.errors import DatasetError, ModelError
from twinlib.evaluation.evaluate_split import Judgement, Listener, evaluate_split, linear_breakdown
from twinlib.evaluation.excerpts import Excerpt, Part, Read, Span, loudest, predict, total_seconds
from twinlib.evaluation.grouped_errors import tables
from twinlib.evaluation.perceptual import visqol
from twinlib.evaluation.settings import Evaluation
from twinlib.files import sha256_file, write_json
from twinlib.listening.clips import write_clips
from twinlib.model.streaming import Stream
from twinlib.model.twin import Twin, load_twin
from twinlib.progress import Progress, no_progress
from twinlib.reports import figures

_WAVEFORM_SECONDS = 0.02


def listener_of(twin: Twin) -> Listener:
    """A twin as the evaluation sees it; every `fresh()` is a new stream of one channel."""
    return Listener(
        fresh=lambda: Stream(twin, 1).process,
        sample_rate=twin.sample_rate,
        guard=twin.guard_samples,
        receptive_field=twin.network.receptive_field,
    )


def evaluate(
    twin_path: Path,
    segments: pd.DataFrame,
    shards: Path,
    dataset: dict[str, Any],
    curve: pd.DataFrame,
    settings: Evaluation,
    out: Path,
    measurements: dict[str, Any] | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Judge a twin on its data set; leave `metrics.json`, `linear.json`, `figures/` and `listening/` in `out`.

    `segments` and `dataset` have the contracts `segments/1` and `dataset/1`, `shards` is the folder of the shards,
    `curve` the learning curve of contract `training/1`, `measurements` what a probe reel tells of the device and of
    this twin (`measurements/1`). Returns what `metrics.json` holds. Equal input gives equal
    numbers, but for `realtime_factor` (seconds of audio a second of CPU). Progress counts seconds of audio.
    Raises `ConfigError` if ViSQOL is asked for and missing, `ModelError` if the twin is unreadable or belongs to
    another data set, `DatasetError` if there is nothing to judge.
    """
    # First of all, so that a missing package is not found out after an hour.
    rate = visqol() if settings.visqol else None
    twin = load_twin(twin_path)
    _check_match(twin, twin_path, dataset)
    listener = listener_of(twin)
    digest = sha256_file(_file_of(twin_path))
    if measurements is not None:
        _check_measured(measurements, digest)
        settings = settings.for_response(measurements["device"]["impulse_samples"])
    open_spans = _SpanSource(segments, shards, listener.warm_up(settings))
    names = [*(["train"] if settings.judge_train else []), "valid", "test"]
    judged = {name: evaluate_split(listener, open_spans.of(name), settings, progress) for name in names}
    spans = open_spans.of("test")
    excerpts = loudest(spans, round(settings.clip_seconds * listener.sample_rate))
    twins = [_predicted(listener, spans, excerpt) for excerpt in excerpts]
    content = {
        **_identity(twin),
        "dataset": dataset["digest"],
        "twin_sha256": digest,
        "realtime_factor": _speed(judged["test"]),
        **judged["test"].metrics,
        "splits": {name: judgement.metrics for name, judgement in judged.items()},
        **tables(judged["test"].breakdown, linear_breakdown(judged["test"].fir, spans, listener.sample_rate)),
    }
    if measurements is not None:
        if measurements["device"]["esr_floor"] is not None:
            content["esr_floor"] = measurements["device"]["esr_floor"]
        if measurements["device"]["music_withdrawn"]:
            content["music_withdrawn"] = measurements["device"]["music_withdrawn"]
        content["harmonics"] = measurements["comparison"]
        content["impulse_samples"] = measurements["device"]["impulse_samples"]
    if rate is not None:
        wet = [spans[excerpt.span].read_wet(excerpt.start, excerpt.stop) for excerpt in excerpts]
        content["visqol"] = rate(np.concatenate(wet), np.concatenate(twins), listener.sample_rate)
    title = f"{twin.device}, {twin.model}"
    linears = [_linear(judged["test"].fir, spans[excerpt.span], excerpt.start, excerpt.stop) for excerpt in excerpts]
    write_clips(out / "listening", spans, excerpts, twins, linears, listener.guard, listener.sample_rate)
    _draw(out / "figures", title, listener, spans, judged["test"])
    figures.draw_errors(out / "figures" / "esr.svg", title, content, content.get("esr_floor"))
    figures.draw_over_time(out / "figures" / "esr_over_time.svg", title, content, content.get("esr_floor"))
    figures.draw_learning(out / "figures" / "learning.svg", title, curve)
    # The filter takes the dry signal to the wet one, which is late by the guard.
    write_json(out / "linear.json", LINEAR, {"sample_rate": listener.sample_rate, "fir": judged["test"].fir.tolist()})
    write_json(out / "metrics.json", METRICS, content)
    return content


def heard_music(
    twin: Twin, fir: npt.NDArray[np.float64], start: int, stop: int, read_dry: Read, read_wet: Read
) -> dict[str, Signal]:
    """Samples [start, stop) of a reel as `NAMES` of `twinlib.listening.clips` has them, float32 `(frames,)`, in step.

    `read_dry` gives the reel, `read_wet` the aligned take, late by the guard of the twin; `fir` is the filter of
    linear.json. The reel must go on for the guard after `stop`. What sounded before `start` counts.
    """
    listener, first, last = listener_of(twin), start + twin.guard_samples, stop + twin.guard_samples
    span = Span(read_dry, read_wet, first, last, first)
    wet = read_wet(first, last)
    heard = predict(span, listener.fresh(), listener.receptive_field - 1, first, last)
    return {
        "dry": read_dry(start, stop),
        "wet": wet,
        "twin": heard,
        "linear": _linear(fir, span, first, last),
        "difference": heard - wet,
    }


def load_for(path: Path, sample_rate: int) -> Twin:
    """The twin of a file, which must have the sample rate of what it is to play; raises `ModelError` if it has not."""
    twin = load_twin(path)
    if twin.sample_rate != sample_rate:
        raise ModelError(
            f"{path} plays at {twin.sample_rate} Hz, and the reel has {sample_rate} Hz: they do not belong together"
        )
    return twin


def played(twin: Twin, read: Read, frames: int, progress: Progress = no_progress) -> Signal:
    """What a twin makes of `frames` samples `(frames,)` and the silence after them, in step: the guard is taken off.

    All of it is kept in memory: for reels of minutes. Progress counts samples.
    """
    process, guard = listener_of(twin).fresh(), twin.guard_samples
    parts = []
    for start in range(0, frames, BLOCK):
        block = read(start, min(start + BLOCK, frames))
        parts.append(process(block))
        progress(len(block))
    parts.append(process(np.zeros(guard, np.float32)))
    return np.concatenate(parts)[guard:]


def evaluate_pair(
    twin: Twin, read_dry: Read, read_wet: Read, frames: int, settings: Evaluation, progress: Progress = no_progress
) -> dict[str, Any]:
    """Judge a twin on any aligned pair of `frames` samples, such as two files that `twin align` has put in step.

    The readers give samples [start, stop) of one channel as float32. The wet one is late by the twin's guard, as
    `twinlib.alignment.warp` hands it out. The first samples, which lack the history
    that the twin needs, are not judged. Returns the numbers of one split of `metrics/1`, with who was judged.
    """
    listener = listener_of(twin)
    warm_up = listener.warm_up(settings)
    if frames <= warm_up:
        seconds = frames / listener.sample_rate
        raise DatasetError(
            f"{frames} samples ({seconds:.2f} s) are too few: the twin needs {warm_up} of them before the first that "
            "is judged"
        )
    judgement = evaluate_split(listener, [Span(read_dry, read_wet, warm_up, frames, warm_up)], settings, progress)
    return {**_identity(twin), "realtime_factor": _speed(judgement), **judgement.metrics}


def evaluation_seconds(segments: pd.DataFrame, settings: Evaluation, sample_rate: int) -> float:
    """About how many seconds of audio `evaluate` will judge: the total for its progress."""
    names = [*(["train"] if settings.judge_train else []), "valid", "test"]
    rows = segments[segments["split"].isin(names)]
    return float((rows["stop"] - rows["start"]).sum()) / sample_rate


class _SpanSource:
    """The spans of a data set's splits, read from memory-mapped shards; their parts are named by tracks or captures.

    A segment has the names of all tracks that sound in it, in their crossfades too; the guard, by which a track sounds
    later in the wet signal, is too short to count. The segments of a pair have the name of their capture.
    """

    def __init__(self, segments: pd.DataFrame, shards: Path, warm_up: int) -> None:
        self._segments, self._warm_up = segments, warm_up
        self._shards = Shards(segments, shards, warm_up + 1)

    def of(self, split: str) -> list[Span]:
        rows = self._segments[(self._segments["split"] == split) & (self._segments["row"] >= 0)]
        columns = (rows[name] for name in ("shard", "row", "capture", "track_ids"))
        names = {
            (str(shard), int(row)): tuple(str(track) for track in tracks) or (str(capture),)
            for shard, row, capture, tracks in zip(*columns, strict=True)
        }
        spans = []
        for stretch in stretches(self._segments, split, self._warm_up + 1):
            shard = self._shards[stretch.shard]
            first = stretch.first_output(self._warm_up + 1)
            parts = _parts(stretch, names, shard.metadata.segment_samples)
            dry, wet = _reader(shard.dry), _reader(shard.wet)
            spans.append(Span(dry, wet, first, stretch.stop, self._warm_up, parts, stretch.shard))
        return spans


def _parts(stretch: Stretch, names: dict[tuple[str, int], tuple[str, ...]], size: int) -> tuple[Part, ...]:
    rows = range(stretch.start // size, stretch.stop // size)
    runs = groupby(rows, key=lambda row: names[stretch.shard, row])
    return tuple(Part((max(run) + 1) * size, name) for name, run in runs)


def _reader(samples: Signal) -> Read:
    # A copy: torch will not take the read-only views of a memory map.
    return lambda start, stop: samples[start:stop].copy()


def _file_of(path: Path) -> Path:
    return path / TWIN_FILE if path.is_dir() else path


def _identity(twin: Twin) -> dict[str, Any]:
    return {
        "device": twin.device,
        "model": twin.model,
        "sample_rate": twin.sample_rate,
        "parameters": twin.network.parameters,
        "receptive_field": twin.network.receptive_field,
    }


def _speed(judgement: Judgement) -> float:
    seconds = judgement.metrics["seconds"] or 0.0
    return float(f"{seconds / max(judgement.cpu_seconds, 1e-9):.4g}")


def _check_match(twin: Twin, path: Path, dataset: dict[str, Any]) -> None:
    for what, ours, theirs in (
        ("data set", twin.dataset, dataset["digest"]),
        ("sample rate", twin.sample_rate, dataset["sample_rate"]),
        ("guard", twin.guard_samples, dataset["guard_samples"]),
    ):
        if ours != theirs:
            raise ModelError(
                f"{path} was trained with {what} {ours}, but this data set has {theirs}: its test split may be what "
                "the twin has learned from, train the twin again"
            )


def _check_measured(measurements: dict[str, Any], twin_sha256: str) -> None:
    if measurements["twin_sha256"] != twin_sha256:
        raise ModelError("the measurements are those of another twin: measure this one")


def _linear(fir: npt.NDArray[np.float64], span: Span, start: int, stop: int) -> Signal:
    dry = span.read_dry(start - len(fir) + 1, stop)
    made: Signal = fftconvolve(dry.astype(np.float64), fir, "valid").astype(np.float32)
    return made


def _predicted(listener: Listener, spans: Sequence[Span], excerpt: Excerpt) -> Signal:
    warm_up = listener.receptive_field - 1
    return predict(spans[excerpt.span], listener.fresh(), warm_up, excerpt.start, excerpt.stop)


def _draw(folder: Path, title: str, listener: Listener, spans: Sequence[Span], judgement: Judgement) -> None:
    excerpt = loudest(spans, round(_WAVEFORM_SECONDS * listener.sample_rate))[0]
    span = spans[excerpt.span]
    # Where the excerpt stands in the judged audio of the split, which is what a reader can count.
    place = total_seconds(spans[: excerpt.span], listener.sample_rate)
    place += (excerpt.start - span.start) / listener.sample_rate
    figures.draw_waveform(
        folder / "waveform.svg",
        title,
        span.read_dry(excerpt.start - listener.guard, excerpt.stop - listener.guard),
        span.read_wet(excerpt.start, excerpt.stop),
        _predicted(listener, spans, excerpt),
        listener.sample_rate,
        place,
    )
    densities = judgement.densities
    figures.draw_spectrum(
        folder / "spectrum.svg",
        title,
        judgement.frequencies,
        densities["device"],
        densities["twin"],
        densities["error"],
    )
    figures.draw_transfer(folder / "transfer.svg", title, judgement.transfers["device"], judgement.transfers["twin"])
