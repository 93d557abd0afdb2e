"""The overtones a device adds: to steady sines, exactly, and to a sweep, for every frequency at once.

Phases are those of sines: a harmonic `b sin(h w t + q)` beside a fundamental `a sin(w t + p)` has the relative phase
`q - h p`, which no delay changes. Levels are in dB of the fundamental (dBc).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from twinlib.audio import Signal
from twinlib.db import amp_to_db, db_to_power

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

HIGHEST = 10
"""Harmonics up to this are told."""

MASK_DB = 6.0
"""A harmonic less than this above the noise around it is not compared."""

_AROUND = 12
"""Bins to either side of a harmonic that tell the noise there."""

_LEAST = 1e-12


@dataclass(frozen=True)
class Sine:
    """What came of a steady sine of `hz` and a peak of `level_dbfs`.

    `gain_db` and `degrees` are those of the fundamental. For the harmonics 2, 3, ... up to `HIGHEST` that lie below
    half the sample rate: level, noise around it (both dBc) and relative phase. `thd_db` counts the harmonics that stand
    out of the noise (None if none does), `thd_n_db` everything but the fundamental and DC; `alias_db` is what is
    neither DC nor a harmonic, against what is harmonic (Sato and Smith 2025, arXiv 2505.04082): noise and, of a
    network, aliases.
    """

    hz: float
    level_dbfs: float
    gain_db: float
    degrees: float
    dbc: tuple[float, ...]
    noise_dbc: tuple[float, ...]
    relative_degrees: tuple[float, ...]
    thd_db: float | None
    thd_n_db: float
    alias_db: float

    @property
    def audible(self) -> list[bool]:
        """For each harmonic, whether it stands out of the noise around it."""
        return [level > noise + MASK_DB for level, noise in zip(self.dbc, self.noise_dbc, strict=True)]


def amplitudes(window: Signal) -> Complex:
    """The complex amplitude of every bin of whole periods `(n / 2 + 1,)`: a sine `a sin(w t + p)` gives `a e^(jp)`."""
    spectrum: Complex = 2j * fft.rfft(window.astype(np.float64)) / len(window)
    return spectrum


def measure_sine(window: Signal, cycles: int, sample_rate: int, level_dbfs: float) -> Sine:
    """The harmonics of `(n,)` samples that hold `cycles` whole periods of the fundamental, settled."""
    found = amplitudes(window)
    sizes = np.abs(found)
    places = np.arange(cycles, len(window) // 2, cycles)
    first = max(float(sizes[cycles]), _LEAST)
    told = places[1:HIGHEST]
    dbc = tuple(amp_to_db(float(sizes[place]) / first) for place in told)
    noise_dbc = tuple(amp_to_db(_noise(sizes, cycles, place) / first) for place in told.tolist())
    heard = [level for level, floor in zip(dbc, noise_dbc, strict=True) if level > floor + MASK_DB]
    phase = float(np.angle(found[cycles]))
    relative = tuple(
        _degrees(float(np.angle(found[place])) - order * phase) for order, place in enumerate(told.tolist(), 2)
    )
    power = np.square(sizes[1:])
    harmonic = float(np.square(sizes[places]).sum())
    total = float(power.sum())
    return Sine(
        hz=cycles * sample_rate / len(window),
        level_dbfs=level_dbfs,
        gain_db=amp_to_db(first) - level_dbfs,
        degrees=_degrees(phase),
        dbc=dbc,
        noise_dbc=noise_dbc,
        relative_degrees=relative,
        thd_db=amp_to_db(float(np.sqrt(sum(db_to_power(level) for level in heard)))) if heard else None,
        thd_n_db=amp_to_db(float(np.sqrt(max(total - first**2, 0.0))) / first),
        alias_db=amp_to_db(float(np.sqrt(max(total - harmonic, 0.0) / max(harmonic, _LEAST**2)))),
    )


def _noise(sizes: Array, cycles: int, place: int) -> float:
    """The rms amplitude of the bins around a harmonic that hold none."""
    around = np.arange(max(1, place - _AROUND), min(len(sizes), place + _AROUND + 1))
    around = around[around % cycles != 0]
    return float(np.sqrt(np.mean(np.square(sizes[around])))) if len(around) else 0.0


def _degrees(phase: float) -> float:
    return float(np.degrees(np.angle(np.exp(1j * phase))))


@dataclass(frozen=True)
class Swept:
    """What came of a synchronised sweep with a peak of `level_dbfs`, told for each of `hz` `(n,)`.

    `gain_db` and `degrees` (unwrapped) are the linear response. `dbc[h]` is the level of harmonic h (2 to 5) while the
    fundamental passes `hz`, NaN where the harmonic lies beyond the sweep. `impulse` is the linear impulse response from
    the arrival on, `(frames,)`.
    """

    level_dbfs: float
    hz: Array
    gain_db: Array
    degrees: Array
    dbc: dict[int, Array]
    relative_degrees: dict[int, Array]
    impulse: Array


def measure_sweep(
    dry: Signal,
    wet: Signal,
    sample_rate: int,
    level_dbfs: float,
    constant: float,
    band: tuple[float, float],
    frames: int,
    hz: Array,
) -> Swept:
    """Both responses to a sweep `(samples,)` of `frames` samples and the silence after it.

    The spectrum of the wet sweep over that of the dry one is a row of impulse responses, the one of harmonic h earlier
    than the linear one by `constant * ln h` seconds (Farina 2000; Novák et al. 2015).
    """
    size = 1 << int(np.ceil(np.log2(2 * len(dry))))
    x, y = fft.rfft(dry.astype(np.float64), size), fft.rfft(wet.astype(np.float64), size)
    power = np.square(np.abs(x))
    response = fft.irfft(y * x.conj() / (power + 1e-9 * float(power.max())), size)
    # A response that ends at 20 Hz rings for that long before it arrives, too.
    before = round(0.04 * sample_rate)
    reach = len(dry) - frames - before
    parts = {}
    for order in range(1, 6):
        lead = constant * np.log(order) * sample_rate
        start = -int(np.round(lead)) - before
        # Each response must have ended before that of the next lower harmonic begins.
        room = reach if order == 1 else int(constant * np.log(order / (order - 1)) * sample_rate) - before
        part = np.take(response, np.arange(start, start + before + min(room, reach)), mode="wrap")
        edge = before // 2
        fade = np.sin(np.pi / 2 * (np.arange(edge) + 0.5) / edge) ** 2
        part[:edge] *= fade
        part[-edge:] *= fade[::-1]
        # Where the response is counted from, a fraction of a sample off the grid.
        parts[order] = (part, before + float(np.round(lead) - lead))
    linear = _at(*parts[1], hz, sample_rate)
    dbc, relative = {}, {}
    for order in range(2, 6):
        there = order * hz <= 0.98 * band[1]
        harmonic = _at(*parts[order], np.where(there, order * hz, hz), sample_rate)
        dbc[order] = np.where(there, amp_to_db(np.abs(harmonic / linear)), np.nan)
        turned = np.angle(harmonic) - order * np.angle(linear)
        relative[order] = np.where(there, np.degrees(np.angle(np.exp(1j * turned))), np.nan)
    impulse = parts[1][0][before:]
    return Swept(
        level_dbfs,
        hz,
        amp_to_db(np.abs(linear)),
        np.degrees(np.unwrap(np.angle(linear))),
        dbc,
        relative,
        impulse,
    )


def _at(part: Array, origin: float, hz: Array, sample_rate: int) -> Complex:
    """The spectrum of a response at some frequencies, its phase counted from sample `origin` of it."""
    size = 1 << int(np.ceil(np.log2(4 * len(part))))
    spectrum = fft.rfft(part, size)
    bins = np.arange(len(spectrum))
    turned = spectrum * np.exp(2j * np.pi * bins * origin / size)
    place = hz * size / sample_rate
    found: Complex = np.interp(place, bins, turned.real) + 1j * np.interp(place, bins, turned.imag)
    return found


def response_length(impulse: Array, decay_db: float = 40.0) -> int:
    """Samples after which an impulse response holds no more than -`decay_db` of its energy, the noise taken off.

    The noise is that of the last fifth. What a model of that memory lacks is worth an error
    to signal ratio of 1e-4.
    """
    power = np.square(impulse)
    tail = power[-max(1, len(power) // 5) :]
    # Noise adds up over the whole response; where the rest does not exceed its uncertainty nothing is known.
    rest = np.cumsum((power - float(np.mean(tail)))[::-1])[::-1]
    unsure = 3.0 * float(np.std(tail)) * np.sqrt(np.arange(len(power), 0, -1))
    heard = np.flatnonzero(rest > np.maximum(db_to_power(-decay_db) * float(rest[0]), unsure))
    return int(heard[-1]) + 1 if len(heard) else 1
