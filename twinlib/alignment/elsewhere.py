"""Where some milliseconds answer to another place than their neighbourhood: moved and back, or played twice.

That shifts nothing around it, and is too short for a window to tell. But it is unlike what its own place predicts, far
more than is usual, and no more than usual unlike what another place does. What a device that distorts leaves there, no
other place explains. Which of the two it is, a ratio of likelihoods tells: that of noise of any power, for who knows
what a device may do, against that of noise of the usual power beside the answer to another place. It is reckoned in
pieces of 3 ms, each with a gain of its own within 6 dB, and summed over those in a row that answer to one place.
"""

from collections.abc import Sequence

import numpy as np
import scipy.fft

from twinlib.alignment.channel import Channel, sound
from twinlib.alignment.delay import Real
from twinlib.alignment.linear_model import AFTER, BEFORE, CELL, MARGIN, PACE, Prediction, slow
from twinlib.alignment.residual import Odd, unlike
from twinlib.alignment.time_map import TimeMap
from twinlib.audio import Signal

REACH = 2304
"""Samples to either side of a stretch where its place is looked for: 52 ms at 44.1 kHz, the usual buffers and more."""

PIECE = 128
"""Samples of a piece: 3 ms."""

MOST_CELLS = 16
"""Of an odd stretch that are looked at: long windows tell what is moved for longer."""

BETWEEN = 5 * REACH
"""Samples between two stretches that were moved alike, which are taken for one."""

LEAST_GAIN = 30.0
"""By which the logarithm of the likelihood must exceed. An hour has some hundred odd stretches and each four thousand
places, so that fifteen would do for noise; devices that distort much have been seen to come near that."""

MOST_LOUDER = 2.0
"""Times what is predicted, or that part of it, that an answer may be: more is chance."""

_PURE = 1e-4
"""The unlike part that rounding leaves."""


def moved(
    dry: Channel, wet: Channel, timemap: TimeMap, prediction: Prediction, polarity: int, odd: Sequence[Odd]
) -> list[tuple[int, int, int]]:
    """Dry ranges of odd stretches to which comes what belongs some samples later (< 0: earlier), and how many.

    `wet` is read at a whole lag: the exact channel will do.
    """
    found: list[tuple[int, int, int]] = []
    for one in sorted(odd, key=lambda one: one.start):
        later, likelier = place_of(dry, wet, timemap, prediction, polarity, one)
        if likelier < LEAST_GAIN:
            continue
        start = one.start
        # What lies between two stretches that were moved alike was hardly left where it was.
        if found and abs(later - found[-1][2]) <= 1 and start - found[-1][1] < BETWEEN:
            start, _, later = found.pop()
        found.append((start, one.stop, later))
    return found


def place_of(
    dry: Channel, wet: Channel, timemap: TimeMap, prediction: Prediction, polarity: int, odd: Odd
) -> tuple[int, float]:
    """How many samples later that belongs which some of an odd stretch most likely answers to, and how likely that is.

    That is by how much the logarithm of the likelihood exceeds that of its own place: 0 where no place is likelier.
    """
    usual = np.maximum(odd.usual[:MOST_CELLS], _PURE)
    start, stop = odd.start, odd.start + CELL * len(usual)
    lag = float(timemap.lags(np.array([0.5 * (start + stop)]))[0])
    predicted, _ = prediction.of(dry.read(start - REACH - BEFORE, stop + REACH + AFTER))
    samples = wet.read(start + round(lag) - MARGIN, stop + round(lag) + MARGIN)
    heard = np.float32(polarity) * slow(np.where(sound(samples), samples, np.float32(0.0)))
    pieces = heard.reshape(-1, PIECE // PACE)
    pieces = pieces - pieces.mean(axis=1, keepdims=True)
    gains = _gains(pieces, *_unlike(predicted, pieces, lag - round(lag)), np.repeat(usual, CELL // PIECE))
    # The best of all stretches: the sum of the gains so far, less the least that it has been before.
    total = np.concatenate((np.zeros((1, gains.shape[1])), np.cumsum(gains, axis=0)))
    most = (total - np.minimum.accumulate(total, axis=0)).max(axis=0)
    place = int(most.argmax())
    return place - REACH, float(most[place])


def _unlike(predicted: Signal, pieces: Signal, early: float) -> tuple[Real, Real]:
    """The part of each piece that is unlike what is predicted for its own place, and what is some samples later.

    That is by piece and place, from `-REACH` on. The pieces lie `early` samples before the time that is predicted.
    """
    size, count, long = len(predicted), *pieces.shape
    turn = 2j * np.pi / size * np.arange(size // 2 + 1)
    between = np.exp(turn * ((np.arange(PACE) - early) / PACE)[:, None]).astype(np.complex64)
    spectra = scipy.fft.rfft(predicted) * between
    crosses = scipy.fft.irfft(spectra * scipy.fft.rfft(pieces, size)[:, None].conj(), size)
    shifted = scipy.fft.irfft(spectra, size)
    so_far = (np.cumsum(np.pad(part, ((0, 0), (1, 0))), axis=1, dtype=np.float64) for part in (shifted, shifted**2))
    mean, square = (part[:, long:] - part[:, :-long] for part in so_far)
    energies = (square - mean * mean / long).astype(np.float32) + np.float32(1e-20)
    powers = np.square(pieces).sum(axis=1) + np.float32(1e-20)
    places = 2 * REACH // PACE + 1
    own, other = np.empty(count), np.empty((count, places, PACE))
    for number in range(count):
        at = slice(number * long, number * long + places)
        cross, energy, power = crosses[number, :, at], energies[:, at], powers[number]
        gain = np.clip(cross / energy, np.float32(1.0 / MOST_LOUDER), np.float32(MOST_LOUDER))
        other[number] = 1.0 + (gain * (gain * energy - np.float32(2.0) * cross) / power).T
        own[number] = unlike(cross[0, REACH // PACE], energy[0, REACH // PACE], power)
    return own, other.reshape(count, -1)


def _gains(pieces: Signal, own: Real, other: Real, usual: Real) -> Real:
    """By how much the logarithm of the likelihood of each other place exceeds that of its own, by piece and place.

    The degrees of freedom of a piece are as many as its power is spread over.
    """
    power = np.square(np.abs(scipy.fft.rfft(pieces * np.hanning(pieces.shape[1]).astype(np.float32))))
    freedom = 2.0 * power.sum(axis=1) ** 2 / (np.square(power).sum(axis=1) + 1e-30)
    any_power = np.maximum(own, usual)
    itself = np.log(any_power / usual) + own / any_power
    return np.asarray(0.5 * freedom[:, None] * (itself[:, None] - other / usual[:, None]), np.float64)
