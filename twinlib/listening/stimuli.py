"""The sounds of a listening page: one excerpt in all its versions, at equal loudness, as FLAC in memory."""

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
from twinlib.evaluation.loudness import Loudness
from twinlib.listening.clips import PEAK, common_gain
from twinlib.listening.spectrograms import pictures

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
"""What people call the sounds."""

_TRANSITION = 500.0
_ATTENUATION = 80.0
_STEPS = 2**15


@dataclass(frozen=True)
class Sounds:
    """An excerpt in step, float32 `(frames,)` each: dry, device, twin, and the output of the best linear filter.

    `title` says what it is ("the loudest ten seconds of the test split"). Raises DatasetError if the arrays differ in
    length, are empty, or hold what is no number.
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
                    f"{self.title}: the {LABELS[name]} sound has the shape {signal.shape}, the device's "
                    f"{self.device.shape}: one listens to mono sounds of equal length"
                )
            if not np.isfinite(signal).all():
                raise DatasetError(f"{self.title}: the {LABELS[name]} sound holds values that are no numbers")


@dataclass(frozen=True)
class Clip:
    """One sound of an excerpt as the page holds it.

    `flac` (16 bits, mono) uses the whole range: it is the sound times 10 ** (stored_db / 20). Played with `true_gain`
    it stands beside the others as in life, with `matched_gain` it is as loud as the device; neither rises above
    -1 dBFS. `lufs` and `rms_db` are those of the sound itself, None for silence; `match_db` is what matches it.
    """

    flac: bytes
    stored_db: float
    true_gain: float
    matched_gain: float
    lufs: float | None
    rms_db: float | None
    match_db: float


@dataclass(frozen=True)
class Prepared:
    """An excerpt that is ready for a page: the sounds given, and its clips by name (the keys of `LABELS`, in order).

    `headroom_db` (0 at most) lowers all that is heard alike, so that nothing clips.
    """

    sounds: Sounds
    difference: Signal
    clips: dict[str, Clip]
    headroom_db: float

    @cached_property
    def pictures(self) -> dict[str, bytes]:
        """A PNG of each sound that has one, by name; drawn once, whatever number of pages shows it."""
        heard = self.sounds
        signals = {"dry": heard.dry, "device": heard.device, "twin": heard.twin, "difference": self.difference}
        return pictures(signals, heard.sample_rate)


def prepare(sounds: Sounds) -> Prepared:
    """Make the difference (twin minus device) and the anchors, match loudness to the device and encode all.

    Rates of 15 kHz and less have no room for the anchor of 7 kHz, nor those of 8 kHz and less for that of 3.5 kHz:
    they go without.
    """
    difference = (sounds.twin.astype(np.float64) - sounds.device).astype(np.float32)
    signals = {
        "dry": sounds.dry,
        "device": sounds.device,
        "twin": sounds.twin,
        "difference": difference,
        "linear": sounds.linear,
        **anchors(sounds.device, sounds.sample_rate),
    }
    levels = {name: _levels(signal, sounds.sample_rate) for name, signal in signals.items()}
    matches = {name: _match(levels["device"], level) for name, level in levels.items()}
    # The difference is heard for what it is: as loud as the device it would be no difference.
    matches["difference"] = 0.0
    heard = [signals[name] * np.float32(db_to_amp(matches[name])) for name in signals]
    headroom = common_gain([*signals.values(), *heard])
    clips = {}
    for name, signal in signals.items():
        scale = _scale(signal)
        clips[name] = Clip(
            flac=flac(signal.astype(np.float64) * scale, sounds.sample_rate),
            stored_db=amp_to_db(scale),
            true_gain=headroom / scale,
            matched_gain=headroom * db_to_amp(matches[name]) / scale,
            lufs=levels[name][0],
            rms_db=levels[name][1],
            match_db=matches[name],
        )
    return Prepared(sounds, difference, clips, amp_to_db(headroom))


def anchors(device: Signal, sample_rate: int) -> dict[str, Signal]:
    """The anchors of ITU-R BS.1534-3: the device after a steep low-pass of linear phase, its delay taken off.

    Flat within 0.1 dB up to 3.5 and 7 kHz, 80 dB down 500 Hz above (the standard asks for 25 dB there). Only those
    that the rate has room for.
    """
    found = {}
    for name, edge in ANCHORS.items():
        if edge + _TRANSITION < sample_rate / 2:
            fir = low_pass(edge, sample_rate)
            late = len(fir) // 2
            found[name] = fftconvolve(device.astype(np.float64), fir)[late : late + len(device)].astype(np.float32)
    return found


def low_pass(edge: float, sample_rate: int) -> npt.NDArray[np.float64]:
    """A symmetric filter `(taps,)`, taps odd, that passes what is below `edge` (Hz) and stops 500 Hz above it."""
    # Kaiser's formula for the length (Oppenheim and Schafer, Discrete-Time Signal Processing, 7.5.3), made odd.
    taps = math.ceil((_ATTENUATION - 7.95) / (2.285 * 2 * math.pi * _TRANSITION / sample_rate)) // 2 * 2 + 3
    fir: npt.NDArray[np.float64] = firwin(
        taps, edge + _TRANSITION / 2, window=("kaiser", kaiser_beta(_ATTENUATION)), fs=sample_rate
    )
    return fir


def flac(signal: npt.NDArray[np.float64], sample_rate: int) -> bytes:
    """A FLAC file of 16 bits, mono, of `(frames,)` between -1 and 1; equal samples give equal bytes."""
    stream = io.BytesIO()
    steps = np.clip(np.rint(signal * _STEPS), -_STEPS, _STEPS - 1).astype(np.int16)
    soundfile.write(stream, steps, sample_rate, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


def _scale(signal: Signal) -> float:
    """What brings the peak to `PEAK`; 1 for silence."""
    peak = float(np.max(np.abs(signal)))
    return PEAK / peak if peak > 0.0 else 1.0


def _levels(signal: Signal, sample_rate: int) -> tuple[float | None, float | None]:
    """Loudness (LUFS) and rms (dBFS) of a sound that is measured at full scale, so that no faint one is gated away."""
    scale = _scale(signal)
    scaled = signal.astype(np.float64) * scale
    power = float(np.mean(np.square(scaled)))
    if power <= 0.0:
        return None, None
    meter = Loudness(sample_rate)
    meter.add(scaled.astype(np.float32))
    lufs = meter.lufs()
    return None if lufs is None else lufs - amp_to_db(scale), power_to_db(power) - amp_to_db(scale)


def _match(device: tuple[float | None, float | None], other: tuple[float | None, float | None]) -> float:
    """The gain (dB) that makes the other as loud as the device: by loudness, by rms where a sound is too short."""
    for wanted, found in zip(device, other, strict=True):
        if wanted is not None and found is not None:
            return wanted - found
    return 0.0
