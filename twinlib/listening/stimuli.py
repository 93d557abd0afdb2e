"""The stimuli of a listening page: one excerpt in all its versions, matched in loudness, as FLAC in memory."""

import io
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import soundfile
from scipy.signal import fftconvolve, firwin, kaiser_beta

from twinlib.audio import Signal
from twinlib.db import amp_to_db, db_to_amp, power_to_db
from twinlib.errors import DatasetError
from twinlib.evaluation import LoudnessMeter
from twinlib.listening.clips import PEAK, common_gain
from twinlib.listening.spectrograms import draw_spectrograms

ANCHORS = {"low_anchor": 3500.0, "mid_anchor": 7000.0}
"""The pass bands (Hz) of the low-pass anchors of ITU-R BS.1534-3."""

LABELS = {
    "dry": "dry",
    "device": "device",
    "twin": "twin",
    "difference": "difference",
    "linear": "linear filter",
    "low_anchor": "3.5 kHz anchor",
    "mid_anchor": "7 kHz anchor",
}
"""The displayed names of the stimuli."""

_TRANSITION_HZ = 500.0
_ATTENUATION_DB = 80.0
_INT16_STEPS = 2**15


@dataclass(frozen=True)
class ListeningExcerpt:
    """Aligned signals of an excerpt, float32 `(frames,)` each; `linear` is the output of the best linear filter.

    `title` describes the excerpt ("the loudest part of the test split"). Raises `DatasetError` if the signals differ in
    length, or are empty or not finite.
    """

    title: str
    sample_rate: int
    dry: Signal
    device: Signal
    twin: Signal
    linear: Signal

    def __post_init__(self) -> None:
        signals = {"dry": self.dry, "device": self.device, "twin": self.twin, "linear": self.linear}
        for name, signal in signals.items():
            if signal.shape != (len(self.device),) or not len(signal):
                raise DatasetError(
                    f"{self.title}: the {LABELS[name]} signal has shape {signal.shape}, the device's "
                    f"{self.device.shape}: pass mono signals of equal length"
                )
            if not np.isfinite(signal).all():
                raise DatasetError(f"{self.title}: the {LABELS[name]} signal contains NaN or infinity")


@dataclass(frozen=True)
class Stimulus:
    """One version of an excerpt as stored in the page.

    `flac` (16 bits, mono) is normalised: it is the signal times 10 ** (stored_db / 20). The playback gain `true_gain`
    restores the level relative to the other stimuli, `matched_gain` the loudness of the device; neither exceeds
    -1 dBFS. `lufs` and `rms_db` are levels of the signal itself, None for silence; `match_db` is the gain that matches
    its loudness to the device's.
    """

    flac: bytes
    stored_db: float
    true_gain: float
    matched_gain: float
    lufs: float | None
    rms_db: float | None
    match_db: float


@dataclass(frozen=True)
class PreparedExcerpt:
    """An excerpt that is ready for a page, with its stimuli by name (the keys of `LABELS`, in order).

    `headroom_db` (at most 0) is a common gain that prevents clipping.
    """

    excerpt: ListeningExcerpt
    difference: Signal
    stimuli: dict[str, Stimulus]
    headroom_db: float

    @cached_property
    def pictures(self) -> dict[str, bytes]:
        """A PNG of each of dry, device, twin and difference; drawn once for all pages."""
        excerpt = self.excerpt
        signals = {"dry": excerpt.dry, "device": excerpt.device, "twin": excerpt.twin, "difference": self.difference}
        return draw_spectrograms(signals, excerpt.sample_rate)


def prepare_excerpt(excerpt: ListeningExcerpt) -> PreparedExcerpt:
    """Compute the difference (twin minus device) and the anchors, match loudness to the device, and encode all signals.

    Sample rates of at most 15 kHz exclude the anchor of 7 kHz, rates of at most 8 kHz also the anchor of 3.5 kHz.
    """
    difference = (excerpt.twin.astype(np.float64) - excerpt.device).astype(np.float32)
    signals = {
        "dry": excerpt.dry,
        "device": excerpt.device,
        "twin": excerpt.twin,
        "difference": difference,
        "linear": excerpt.linear,
        **create_anchors(excerpt.device, excerpt.sample_rate),
    }
    levels = {name: _measure_levels(signal, excerpt.sample_rate) for name, signal in signals.items()}
    matches = {name: _match_db(levels["device"], level) for name, level in levels.items()}
    # The difference keeps its true level.
    matches["difference"] = 0.0
    matched = [signals[name] * np.float32(db_to_amp(matches[name])) for name in signals]
    headroom = common_gain([*signals.values(), *matched])
    stimuli = {}
    for name, signal in signals.items():
        scale = _normalising_gain(signal)
        stimuli[name] = Stimulus(
            flac=encode_flac(signal.astype(np.float64) * scale, excerpt.sample_rate),
            stored_db=amp_to_db(scale),
            true_gain=headroom / scale,
            matched_gain=headroom * db_to_amp(matches[name]) / scale,
            lufs=levels[name][0],
            rms_db=levels[name][1],
            match_db=matches[name],
        )
    return PreparedExcerpt(excerpt, difference, stimuli, amp_to_db(headroom))


def create_anchors(device: Signal, sample_rate: int) -> dict[str, Signal]:
    """Return the anchors of ITU-R BS.1534-3: the device after steep linear-phase low-pass filters, without their delay.

    Flat within 0.1 dB up to 3.5 and 7 kHz, -80 dB from 500 Hz above (the standard requires -25 dB).
    """
    anchors = {}
    for name, edge in ANCHORS.items():
        if edge + _TRANSITION_HZ < sample_rate / 2:
            fir = design_low_pass(edge, sample_rate)
            delay = len(fir) // 2
            filtered = fftconvolve(device.astype(np.float64), fir)
            anchors[name] = filtered[delay : delay + len(device)].astype(np.float32)
    return anchors


def design_low_pass(edge: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """Return a symmetric low-pass filter `(taps,)`, taps odd, with a stop band from 500 Hz above `edge` (Hz)."""
    # Kaiser's formula for the length (Oppenheim and Schafer, Discrete-Time Signal Processing, 7.5.3), made odd.
    taps = math.ceil((_ATTENUATION_DB - 7.95) / (2.285 * 2 * math.pi * _TRANSITION_HZ / sample_rate)) // 2 * 2 + 3
    fir: npt.NDArray[np.float64] = firwin(
        taps, edge + _TRANSITION_HZ / 2, window=("kaiser", kaiser_beta(_ATTENUATION_DB)), fs=sample_rate
    )
    return fir


def encode_flac(signal: npt.NDArray[np.float64], sample_rate: int) -> bytes:
    """Return a FLAC file of 16 bits, mono, of `(frames,)` between -1 and 1; equal samples give equal bytes."""
    stream = io.BytesIO()
    steps = np.clip(np.rint(signal * _INT16_STEPS), -_INT16_STEPS, _INT16_STEPS - 1).astype(np.int16)
    soundfile.write(stream, steps, sample_rate, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


def _normalising_gain(signal: Signal) -> float:
    """Return the gain that brings the peak to `PEAK`; 1 for silence."""
    peak = float(np.max(np.abs(signal)))
    return PEAK / peak if peak > 0.0 else 1.0


def _measure_levels(signal: Signal, sample_rate: int) -> tuple[float | None, float | None]:
    """Return loudness (LUFS) and rms (dBFS), measured after normalisation so that the gate ignores the level."""
    scale = _normalising_gain(signal)
    scaled = signal.astype(np.float64) * scale
    power = float(np.mean(np.square(scaled)))
    if power <= 0.0:
        return None, None
    meter = LoudnessMeter(sample_rate)
    meter.add(scaled.astype(np.float32))
    lufs = meter.lufs()
    return None if lufs is None else lufs - amp_to_db(scale), power_to_db(power) - amp_to_db(scale)


def _match_db(device: tuple[float | None, float | None], other: tuple[float | None, float | None]) -> float:
    """Return the gain (dB) that matches the loudness of the device, or its rms if a signal is too short."""
    for target, level in zip(device, other, strict=True):
        if target is not None and level is not None:
            return target - level
    return 0.0
