"""Audio fingerprints of a reel: short codes of its slices on the clock of their sources.

A code is the sign of the change, over 20 ms, of the level difference between adjacent bands (J. Haitsma, T. Kalker: *A
Highly Robust Audio Fingerprinting System*, ISMIR 2002), with windows short enough for a slice. Two copies of a
recording have many equal codes at one time offset, which `twinlib.dataset.duplicates` detects as in A. Wang: *An
Industrial-Strength Audio Search Algorithm*, ISMIR 2003.
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.fft

from twinlib.audio import Reader, Signal
from twinlib.dataset.duplicates import BANDS, STEP_SECONDS, WEAK
from twinlib.errors import DatasetError
from twinlib.excitation import is_synthetic
from twinlib.progress import Progress, no_progress

WINDOW_SECONDS = 0.04

LAG = 4
"""Steps between the two spectra whose difference is coded."""

LOWEST_HZ, HIGHEST_HZ = 250.0, 3800.0
"""Frequency band that lossy coding, resampling and low-pass filters preserve, and that every reel contains."""

FLOOR = 1e-5
"""Minimum energy of a band relative to the mean of all bands (-50 dB): rounding noise carries no information."""

MIN_CHANGE = 0.3
"""Minimum rms of the changes, in nepers of energy. A steadier sound does not define a position in time."""

MIN_POWER = 1e-8
"""Minimum mean square of a window; quieter windows count as silent."""

_FRAMES_AT_ONCE = 512

_COMMON_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 176400, 192000)

Codes = npt.NDArray[np.uint32]


def fingerprint_reel(reader: Reader, cues: pd.DataFrame, progress: Progress = no_progress) -> pd.DataFrame:
    """Return the fingerprints of one reel (contract `fingerprints/1`), one row per code.

    `cues` are the rows of the cue sheet (`cues/1`) of this reel. Columns: `cue` is the label of a row in their index;
    `at` the sample on the reel at the centre of the code; `frame` that position on the clock of the source, in units of
    `STEP_SECONDS`; `code` the bits; `weak` a mask of the `WEAK` least certain bits. In a crossfade a slice has codes
    only in the half in which it is louder. Channels are mixed. Memory is constant; `progress` counts slices.
    Raises `DatasetError` if a cue is outside the reel.
    """
    info, parts = reader.info, []
    cues = cues.sort_values(["start", "stop"], kind="stable")
    if len(cues) and not 0 <= int(cues["start"].min()) <= int(cues["stop"].max()) <= info.frames:
        raise DatasetError(
            f"{info.path} has {info.frames} samples, but the cue sheet extends to {int(cues['stop'].max())}: they "
            "belong to different excitations. Restore both"
        )
    for label, begin, end, clock in _dominant_ranges(cues, info.sample_rate):
        # Skip sweeps and tones: they are not recordings, and occur in one split only.
        for part in () if is_synthetic(cues["source"][label]) else _codes(reader, begin, end, clock):
            parts.append({"cue": np.int32(label), **part})
        progress(1)
    return _table(parts)


def source_rate(source_frames: int, frames: int, sample_rate: int) -> float:
    """Return the sample rate of a source in Hz, given that `source_frames` of its samples last as long as `frames`.

    The cue sheet rounds `source_frames` up, so a common sample rate is preferred among the candidates.
    """
    fitting = [rate for rate in _COMMON_RATES if -(-frames * rate // sample_rate) == source_frames]
    return float(fitting[0]) if fitting else source_frames * sample_rate / frames


def compute_codes(
    samples: Signal, starts: npt.NDArray[np.int64], sample_rate: int
) -> tuple[Codes, Codes, npt.NDArray[np.bool_]]:
    """Return codes, weak bits and validity of the windows of `samples` `(n,)` that begin at `starts`.

    The first `LAG` windows have no code. A code is valid unless the sound is silent or steady.
    """
    shape, weights = _filters(sample_rate)
    windows = samples[starts[:, None] + np.arange(len(shape))]
    power = np.einsum("ij,ij->i", windows, windows, dtype=np.float64) / len(shape)
    spectra = scipy.fft.rfft(windows * shape, scipy.fft.next_fast_len(len(shape), real=True), axis=1)
    spectra = spectra[:, : len(weights)]
    energies = (spectra.real**2 + spectra.imag**2) @ weights
    levels = np.log(energies + FLOOR * energies.mean(axis=1, keepdims=True) + np.float32(1e-20))
    slopes = np.diff(levels, axis=1)
    change = slopes[LAG:] - slopes[:-LAG]
    bits = np.uint32(1) << np.arange(BANDS - 1, dtype=np.uint32)
    codes = (change > 0) @ bits
    weak = bits[np.argsort(np.abs(change), axis=1, kind="stable")[:, :WEAK]].sum(axis=1, dtype=np.uint32)
    changing = np.sqrt(np.mean(np.square(change), axis=1)) >= MIN_CHANGE
    audible = np.minimum(power[LAG:], power[:-LAG]) >= MIN_POWER
    return codes.astype(np.uint32), weak, changing & audible


def _codes(reader: Reader, begin: int, end: int, clock: float) -> Iterator[dict[str, Any]]:
    """Yield the columns (except `cue`) of the codes of samples [begin, end) of a file, in pieces.

    `clock` is the time of sample 0 of the file on the clock of the source, in seconds.
    """
    rate = reader.info.sample_rate
    width = len(_filters(rate)[0])
    first = int(np.ceil((clock + begin / rate) / STEP_SECONDS))
    last = int(np.floor((clock + (end - width) / rate) / STEP_SECONDS))
    for at in range(first, last - LAG + 1, _FRAMES_AT_ONCE):
        frames = np.arange(at, min(at + _FRAMES_AT_ONCE + LAG, last + 1))
        starts = np.round((frames * STEP_SECONDS - clock) * rate).astype(np.int64)
        starts = np.clip(starts, begin, end - width)
        samples = reader.read(int(starts[0]), int(starts[-1]) + width).mean(axis=1)
        codes, weak, valid = compute_codes(samples, starts - starts[0], rate)
        middles = (starts[LAG:] + starts[:-LAG] + width) // 2
        steps = frames[LAG:][valid].astype(np.int32)
        yield {"at": middles[valid], "frame": steps, "code": codes[valid], "weak": weak[valid]}


def _dominant_ranges(cues: pd.DataFrame, sample_rate: int) -> Iterator[tuple[int, int, int, float]]:
    """Yield label, dominant range on the reel and source time of sample 0 (in seconds) of every cue."""
    starts, stops = cues["start"].to_numpy(np.int64), cues["stop"].to_numpy(np.int64)
    origins, ends = cues["source_start"].to_numpy(np.int64), cues["source_stop"].to_numpy(np.int64)
    begins, finishes = starts.copy(), stops.copy()
    middles = (stops[:-1] + starts[1:]) // 2
    overlap = stops[:-1] > starts[1:]
    begins[1:][overlap] = middles[overlap]
    finishes[:-1][overlap] = middles[overlap]
    for k, label in enumerate(cues.index):
        rate = source_rate(int(ends[k] - origins[k]), int(stops[k] - starts[k]), sample_rate)
        yield int(label), int(begins[k]), int(finishes[k]), origins[k] / rate - starts[k] / sample_rate


@cache
def _filters(sample_rate: int) -> tuple[Signal, Signal]:
    """Return the window and the triangular band filters, `(bins, BANDS)`."""
    width = round(WINDOW_SECONDS * sample_rate)
    shape = np.hanning(width + 2)[1:-1].astype(np.float32)
    bins = scipy.fft.next_fast_len(width, real=True)
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, BANDS + 1)
    hertz = np.arange(bins // 2 + 1) * sample_rate / bins
    weights = [
        np.clip(1 - np.abs(hertz - np.sqrt(low * high)) / max(high - low, 1 / WINDOW_SECONDS), 0, None)
        for low, high in pairwise(edges)
    ]
    top = int(np.searchsorted(hertz, 2 * HIGHEST_HZ - LOWEST_HZ))
    table = np.stack(weights, axis=1)[:top].astype(np.float32)
    return shape, table[: int(np.flatnonzero(table.any(axis=1))[-1]) + 1]


def _table(parts: list[dict[str, Any]]) -> pd.DataFrame:
    columns = {"at": np.int64, "frame": np.int32, "code": np.uint32, "weak": np.uint32}
    joined = {
        name: np.concatenate([np.empty(0, kind), *(part[name] for part in parts)]) for name, kind in columns.items()
    }
    cue = np.repeat(np.array([part["cue"] for part in parts], np.int32), [len(part["code"]) for part in parts])
    return pd.DataFrame({"cue": cue, **joined})
