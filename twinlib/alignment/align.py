"""Measure where a wet signal lies on the clock of its dry signal, and judge whether that can be trusted."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from twinlib.alignment import anchors, search
from twinlib.alignment.clicks import anchored, click_line
from twinlib.alignment.line import Line
from twinlib.alignment.result import CONTRACT, Alignment, Dropout, Verdict, Warp, Window
from twinlib.alignment.signals import Channel
from twinlib.alignment.track import AGREES, Track, agreeing, follow, plan
from twinlib.alignment.wander import residual_rms, wander
from twinlib.audio import Reader
from twinlib.errors import AlignmentError
from twinlib.progress import Progress, silent

__all__ = ["CONTRACT", "Alignment", "Dropout", "Window", "align"]

MOST_RESIDUAL = 0.02
"""Samples rms about the line above which an alignment is suspect: an error-to-signal ratio of 2e-5 to 2e-4."""

MOST_DRIFT_PPM = 500.0
"""Clocks of two sound cards differ by less; more is another speed or lost samples."""

STEADY_PPM = 100.0
"""What the clocks of two sound cards hardly differ by."""

SIDE = 6
"""Windows on either side of a step of the lag that must agree about it."""

IN_STEP = (-4, 16)
"""Lags in samples at which a pair on one clock is taken to be in step already. A device's own phase makes the lag
uncertain by a few samples, and differently so in every recording, but the pairs of one device must be shifted alike;
so small a constant is left to the twin, and the guard keeps it from leading."""

GUARD_SAMPLES = 12
"""The default guard: a target that leads its input by one sample costs an error-to-signal ratio of 0.08."""


def align(
    dry: Path,
    wet: Path,
    *,
    channel: int = 0,
    clicks: Sequence[int] | None = None,
    dry_range: tuple[int, int] | None = None,
    wet_range: tuple[int, int] | None = None,
    guard_samples: int = GUARD_SAMPLES,
    progress: Progress = silent,
) -> Alignment:
    """Align one channel (from 0) of `wet` with `dry`; a stereo dry file gives the same channel, else its first.

    With `clicks` (dry positions) the capture is a take: a matched filter for the click itself finds them. Without, it
    is a pair: loud excerpts of the programme are looked for. Both are then refined on the programme in windows, by a
    line that outliers do not bend. The line of a take is that of its clicks where the programme bears them out.
    Ranges (samples, half-open) bound what is used of each file. A capture that cannot be aligned is no exception but
    the verdict `refused` with its reasons. `progress` counts passes over the audio.

    Raises `AudioError` for unreadable files and `AlignmentError` for a range or channel that a file does not have.
    """
    with Reader(dry) as dry_reader, Reader(wet) as wet_reader:
        dry_signal = _channel(dry_reader, channel if dry_reader.info.channels > channel else 0, dry_range)
        wet_signal = _channel(wet_reader, channel, wet_range)
        if guard_samples < 0:
            raise AlignmentError(f"guard_samples is {guard_samples}: it must not be negative")
        return _Case(dry_signal, wet_signal, guard_samples).align(clicks, progress)


def _channel(reader: Reader, channel: int, wanted: tuple[int, int] | None) -> Channel:
    info = reader.info
    if not 0 <= channel < info.channels:
        raise AlignmentError(f"{info.path} has {info.channels} channels, no channel {channel + 1}: correct `channel`")
    start, stop = wanted if wanted is not None else (0, info.frames)
    if not 0 <= start < stop <= info.frames:
        raise AlignmentError(f"{info.path} has samples 0 to {info.frames}: the range {start} to {stop} is not in it")
    return Channel(reader, channel, start, stop)


class _Case:
    """One dry/wet couple while it is being judged: reasons gather, and the verdict only ever gets worse."""

    def __init__(self, dry: Channel, wet: Channel, guard_samples: int) -> None:
        self.dry, self.wet, self.guard = dry, wet, guard_samples
        self.rate = dry.reader.info.sample_rate
        self.verdict: Verdict = "ok"
        self.reasons: list[str] = []

    def suspect(self, reason: str) -> None:
        self.verdict = "refused" if self.verdict == "refused" else "suspect"
        self.reasons.append(reason)

    def refuse(self, reason: str) -> None:
        self.verdict = "refused"
        self.reasons.append(reason)

    def seconds(self, samples: float) -> str:
        return f"{samples / self.rate:.2f} s"

    def align(self, clicks: Sequence[int] | None, progress: Progress) -> Alignment:
        wet_rate = self.wet.reader.info.sample_rate
        if wet_rate != self.rate:
            self.refuse(
                f"the wet file has {wet_rate} Hz, the dry one {self.rate} Hz: set the interface to {self.rate} Hz and "
                "record again"
            )
            return self.result(None, Line(0.0, 0.0), 1, take=clicks is not None)
        rough = self.from_clicks(clicks, progress) if clicks else self.from_programme(progress)
        if rough is None:
            return self.result(None, Line(0.0, 0.0), 1, take=bool(clicks))
        line, polarity = rough
        start, stop = self.dry.start, self.dry.stop
        if clicks:
            # Clicks stand in every reel: only what lies between them tells one reel from another.
            start = min(clicks) + self.rate // 4
            stop = max(clicks) if len(clicks) > 1 else stop
        windows = plan(start, max(stop, start + 1), self.rate)
        track = follow(self.dry, self.wet, windows, line, polarity, self.rate, progress)
        if track is None:
            self.refuse(
                "nothing of the dry programme was recognised in the wet signal: it is the recording of another file, "
                "or silent; check the pairing and record again"
            )
            return self.result(None, line, polarity, take=bool(clicks))
        self.judge(track, take=bool(clicks))
        if track.polarity != polarity and self.verdict != "refused":
            self.suspect("clicks and programme disagree about the polarity: listen to both ends of the recording")
        elif clicks and len(clicks) > 1 and self.trusts_clicks(track):
            ends = min(clicks), max(clicks)
            measured = click_line(self.dry, self.wet, ends, track.fit.line, track.polarity, self.rate)
            track = (anchored(track, measured) if measured is not None else None) or track
        return self.result(track, track.fit.line, track.polarity, take=bool(clicks))

    def trusts_clicks(self, track: Track) -> bool:
        """Two clicks tell a line where the lag keeps to one in between. Digital takes need none: they are shifted."""
        if self.verdict == "refused" or wander(track, self.rate) > MOST_RESIDUAL:
            return False
        frames = self.dry.stop - self.dry.start
        return _applied(track.fit.line, track.fit.drift_error_ppm, frames, take=True)[0] == "sinc"

    def from_clicks(self, clicks: Sequence[int], progress: Progress) -> tuple[Line, int] | None:
        waveform = anchors.waveform(self.dry, clicks[0], self.rate)
        if not len(waveform) or not float(np.abs(waveform).max()) > 1e-3:
            path = self.dry.reader.info.path
            raise AlignmentError(f"{path} holds no click at sample {clicks[0]}: it is not the reel it should be")
        found = anchors.find_clicks(self.wet, waveform, self.rate)
        progress(1.0)
        match = anchors.match(clicks, found, 0.001 * self.rate)
        if match is None:
            self.refuse(
                "no click of the reel was found: the wet file is silent, is the recording of something else, or was "
                "recorded at another speed; record the reel again"
            )
            return None
        for click in match.missing:
            place = match.line.wet(click)
            if not self.wet.start <= place < self.wet.stop:
                why = f"would be at {self.seconds(place)} of the wet file, which has {self.seconds(self.wet.stop)}"
                self.refuse(f"a click {why}: the recording is cut short, record the reel again from before its start")
            else:
                self.refuse(
                    f"the click expected at {self.seconds(place)} of the wet file is not there: another reel was "
                    "recorded, or a part is missing; check the pairing and record again"
                )
        line = match.line
        if abs(line.drift_ppm) > STEADY_PPM:
            # More likely samples were lost between the clicks: let the programme tell.
            line = Line(line.at(clicks[0]), 0.0)
        return line, match.polarity

    def from_programme(self, progress: Progress) -> tuple[Line, int] | None:
        coarse = search.search(self.dry, self.wet, self.rate)
        progress(1.0)
        if coarse is None:
            self.refuse(
                "nothing of the dry signal was found in the wet one: they do not belong together, one of them is "
                "silent, or their speeds differ; check the pairing"
            )
            return None
        return coarse.line, coarse.polarity

    def judge(self, track: Track, take: bool) -> None:
        measured, fits = track.measured, agreeing(track.measured)
        share = float(fits.mean())
        if share < 0.5:
            self.refuse(
                f"only {share:.0%} of the programme lies where it should: it is another recording, or samples were "
                "lost; check the pairing and record again"
            )
        for where, least, what in (
            (measured.weight == 0, 0.05, "cannot be recognised in the wet signal"),
            ((measured.weight > 0) & ~fits, 0.2, "does not lie on the line"),
        ):
            if share >= 0.5 and float(where.mean()) > least:
                first = self.seconds(track.fit.line.wet(float(measured.position[where][0])))
                self.suspect(
                    f"{float(where.mean()):.0%} of the programme {what}, first near {first} of the wet file: look at "
                    "the alignment figure and listen there"
                )
        for dropout in self.dropouts(track):
            kind = "lost" if dropout.lost_samples > 0 else "repeated"
            self.refuse(
                f"about {abs(dropout.lost_samples)} samples were {kind} between {dropout.start:.2f} s and "
                f"{dropout.stop:.2f} s of the wet file: raise the interface's buffer size and record again"
            )
        if int(fits.sum()) < 3:
            self.refuse("fewer than three windows of programme could be compared: use a longer signal")
        drift = track.fit.line.drift_ppm
        if abs(drift) > MOST_DRIFT_PPM:
            self.refuse(f"the clocks differ by {drift:.0f} ppm, more than sound cards do: play and record at one speed")
        rms = wander(track, self.rate)
        if rms > MOST_RESIDUAL:
            self.suspect(
                f"the lag wanders by {rms:.3f} samples rms about the line (at most {MOST_RESIDUAL} is wanted): play "
                "and record with one interface, or with a common word clock"
            )
        end = track.fit.line.wet(self.dry.stop)
        if not take and end > self.wet.stop + 0.05 * (self.dry.stop - self.dry.start):
            self.suspect(
                f"the wet file ends {self.seconds(end - self.wet.stop)} before the dry one does: the rest is not used"
            )

    def dropouts(self, track: Track) -> tuple[Dropout, ...]:
        """Steps of the lag by half a sample or more, each between the medians of a few windows on either side."""
        measured, line = track.measured, track.fit.line
        heard = np.flatnonzero(measured.weight > 0)
        residual, position = measured.residual[heard], measured.position[heard]
        steps = np.zeros(len(heard))
        for i in range(3, len(heard) - 2):
            before, after = residual[max(0, i - SIDE) : i], residual[i : i + SIDE]
            scatter = max(float(np.median(np.abs(part - np.median(part)))) for part in (before, after))
            step = float(np.median(after) - np.median(before))
            steps[i] = step if abs(step) > max(AGREES, 6.0 * scatter) else 0.0
        found = []
        while steps.any():
            i = int(np.abs(steps).argmax())
            stop = line.wet(float(position[i])) + residual[i]
            start = line.wet(float(position[i - 1])) + residual[i - 1]
            lost = -round(float(steps[i]))
            if lost:
                found.append(Dropout(float(start) / self.rate, float(stop) / self.rate, lost))
            steps[max(0, i - SIDE) : i + SIDE + 1] = 0.0
        return tuple(sorted(found, key=lambda one: one.start))

    def result(self, track: Track | None, line: Line, polarity: int, take: bool) -> Alignment:
        frames = self.dry.stop - self.dry.start
        error = track.fit.drift_error_ppm if track is not None else None
        warp, applied = _applied(line, error, frames, take)
        return Alignment(
            sample_rate=self.rate,
            dry_frames=self.dry.reader.info.frames,
            wet_frames=self.wet.reader.info.frames,
            dry_range=(self.dry.start, self.dry.stop),
            wet_range=(self.wet.start, self.wet.stop),
            lag_samples=line.lag,
            drift_ppm=line.drift_ppm,
            drift_error_ppm=error if error is not None and math.isfinite(error) else None,
            polarity=1 if polarity > 0 else -1,
            gain_db=track.gain_db if track is not None else 0.0,
            residual_rms_samples=residual_rms(track) if track is not None else None,
            confidence=float(agreeing(track.measured).mean()) if track is not None else 0.0,
            dropouts=self.dropouts(track) if track is not None else (),
            verdict=self.verdict,
            reasons=tuple(self.reasons),
            guard_samples=self.guard,
            warp=warp,
            applied_lag_samples=applied.lag,
            applied_drift_ppm=applied.drift_ppm,
            track=_windows(track) if track is not None else (),
        )


def _applied(line: Line, error_ppm: float | None, frames: int, take: bool) -> tuple[Warp, Line]:
    """What the warp does: interpolation never touches a digital pair, whose clocks are one."""
    spread = abs(line.drift_ppm) * 1e-6 * frames
    steady = spread < 0.02 or (error_ppm is not None and abs(line.drift_ppm) < 3.0 * error_ppm)
    whole = round(line.lag + 0.5 * line.drift_ppm * 1e-6 * frames)
    if steady and not take and IN_STEP[0] <= whole <= IN_STEP[1]:
        whole = 0
    if steady and (not take or abs(line.lag - whole) < 0.01):
        return "shift", Line(float(whole), 0.0)
    return "sinc", line


def _windows(track: Track) -> tuple[Window, ...]:
    measured, line = track.measured, track.fit.line
    rows = zip(measured.position.tolist(), measured.residual.tolist(), measured.weight.tolist(), strict=True)
    return tuple(Window(p, line.at(p) + residual, weight, residual) for p, residual, weight in rows)
