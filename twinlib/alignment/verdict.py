"""The alignment that a judged case comes to, as the contract has it."""

from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import soxr

from twinlib.alignment.channel import Channel
from twinlib.alignment.clock import Array, ClockModel, LagFit
from twinlib.alignment.fractional_delay import WARP_KERNEL
from twinlib.alignment.lag_track import LagTrack, inliers
from twinlib.alignment.locate import excerpt_size, find_candidates, loudest_excerpts, vote
from twinlib.alignment.messages import MESSAGES
from twinlib.alignment.refine import MAX_FLUTTER, is_device_phase, wet_sample_period
from twinlib.alignment.residual import Heard, lies_better, listen
from twinlib.alignment.result import Alignment, Dropout, Excluded, Reference, Repair, Warp, Window
from twinlib.alignment.time_map import Curve, Piece
from twinlib.alignment.wow_flutter import residual_rms, wander_rms
from twinlib.audio import Signal
from twinlib.db import db_to_amp
from twinlib.findings import Finding, Span, refused, suspect, verdict
from twinlib.intervals import find_runs
from twinlib.progress import Progress

SILENT = 1e-4
"""A peak below -80 dB of full scale is silence."""

HUM_SHARE = 0.8
"""Of the energy, at multiples of 50 or 60 Hz: more is no music."""

SPEEDS = (0.5, 2.0, 44100 / 48000, 48000 / 44100, 44100 / 96000, 96000 / 44100, 2.0 / 3.0, 1.5)
"""How fast a wet file may run against its dry one when a tape machine or a header is set wrong."""

SURE = 12.0
"""The prominence of an excerpt at another speed that proves it."""

_REACH_SECONDS = 15.0


def diagnose_mismatch(dry: Channel, wet: Channel, clicked: bool) -> Finding:
    """Return the reason why no part of the dry file was found in the wet file."""
    if _peak(wet) < SILENT:
        return refused("silent")
    if _hum_share(wet) > HUM_SHARE:
        return refused("hum-only")
    return diagnose_speed(dry, wet) or refused("other-reel" if clicked else "no-match")


def diagnose_speed(dry: Channel, wet: Channel) -> Finding | None:
    """Return a finding if the programme is found at another speed."""
    speed = estimate_speed(dry, wet)
    if speed is None:
        return None
    return refused("wrong-speed", speed=1.0 / speed, wet_rate=wet.reader.info.sample_rate, dry_rate=dry.rate)


def estimate_speed(dry: Channel, wet: Channel) -> float | None:
    """How many times longer the wet file lasts than it should, if its loud excerpts are found at such a speed.

    Music repeats itself, so that some agree at any speed; on the true one, be it the right one, most do.
    """
    size = excerpt_size(dry.stop - dry.start, dry.rate)
    places = loudest_excerpts(dry, size, 5)
    reach = round(_REACH_SECONDS * dry.rate)
    best = (0.0, 1.0)
    for speed in (1.0, *SPEEDS):
        excerpts = []
        for place in places:
            samples = dry.read(place, place + int(size / speed) + 1)
            slow = soxr.resample(samples, dry.rate, dry.rate * speed, "HQ").astype(np.float32)[:size]
            excerpts.append((round(place * speed), np.pad(slow, (0, size - len(slow)))))
        found = [one for one in find_candidates(excerpts, wet, (-reach, reach)) if one.prominence >= SURE]
        agreed = vote(found, len(places))
        if agreed is not None and agreed.share > 0.5 and len(places) > 1:
            best = max(best, (agreed.score, speed))
    return best[1] if best[1] != 1.0 else None


def _probed(wet: Channel, count: int = 8) -> list[Signal]:
    """Seconds of the recording, evenly over its length."""
    size = 2 * wet.rate
    last = max(wet.start, wet.stop - size)
    return [wet.read(start, start + size) for start in np.linspace(wet.start, last, count).astype(int).tolist()]


def _peak(wet: Channel) -> float:
    return max(float(np.abs(samples - samples.mean()).max()) for samples in _probed(wet))


def _hum_share(wet: Channel) -> float:
    """The part of the energy that lies within 2 Hz of the first harmonics of 50 or of 60 Hz."""
    shares = []
    for samples in _probed(wet):
        power = np.abs(np.fft.rfft((samples - samples.mean()) * np.hanning(len(samples)))) ** 2
        hertz = np.arange(len(power)) * wet.rate / len(samples)
        shares.append(
            max(
                float(power[(np.abs(hertz - mains * np.round(hertz / mains)) < 2.0) & (hertz < 20.5 * mains)].sum())
                for mains in (50.0, 60.0)
            )
            / (float(power.sum()) + 1e-30)
        )
    return float(np.median(shares))


IN_STEP = (-4, 16)
"""Lags in samples at which a pair on one clock is taken to be in step already. A device's own phase makes the lag
uncertain by a few samples, and differently so in every recording, but the pairs of one device must be shifted alike;
so small a constant is left to the twin, and the guard keeps it from leading."""

SNAP = 0.01
"""Samples from a whole number within which a digital loss is taken to be one."""


def applied(clock: ClockModel, dry: Channel, take: bool) -> tuple[Warp, tuple[Piece, ...]]:
    """What the warp does, and along which pieces: interpolation never touches a digital pair, whose clocks are one."""
    frames, fit = dry.stop - dry.start, clock.fit
    pieces = clock.time_map(dry.start, dry.stop).pieces
    if clock.curve is not None:
        return "sinc", pieces
    steps = fit.lags - fit.lags[0]
    whole_steps = np.round(steps)
    drift = fit.drift_ppm * 1e-6
    digital = bool(np.all(np.abs(steps - whole_steps) < np.maximum(SNAP, 3.0 * _finite(fit.lag_errors))))
    steady = abs(drift) * frames < 0.02 or abs(fit.drift_ppm) < 3.0 * fit.drift_error_ppm
    whole = round(float(fit.lags[0]) + 0.5 * drift * frames)
    if steady and not take and IN_STEP[0] <= whole <= IN_STEP[1]:
        whole = 0
    if steady and digital and (not take or abs(float(fit.lags[0]) - whole) < SNAP):
        lags = (whole + whole_steps).tolist()
        return "shift", tuple(
            Piece(one.start, one.stop, (float(one.start),), (float(lag),))
            for one, lag in zip(pieces, lags, strict=True)
        )
    return "sinc", pieces


def _finite(errors: Array) -> Array:
    return np.where(np.isfinite(errors), np.minimum(errors, 0.1), 0.1) if len(errors) else np.zeros(1)


MOST_RESIDUAL = 0.02
"""Samples rms about the pieces above which an alignment is suspect: an error-to-signal ratio of 2e-5 to 2e-4."""

MOST_DRIFT_PPM = 500.0
"""Clocks of two sound cards differ by less."""

IMPOSSIBLE_PPM = 5000.0
"""No two recorders, tape machines included, differ by so much: a file says a wrong rate."""

LEAST_SHARE = 0.5
"""Of the audible windows, that must agree."""

FAINT_DB = 20.0
"""A window so far below the usual level may drown in noise: that it is not recognised says nothing."""

AUDIBLE_HZ = 20_000.0
"""What a take at a lower rate than the dry signal's must hold all the same."""

MOST_UNSURE = 0.05
"""Standard error in samples of a wandering clock's curve above which nobody knows where it went."""

MOST_ODD = 3
"""Windows in a row that may tell another delay, or none, where only they can tell."""

MISSING_SECONDS = 0.5
"""What a pair may lack at its ends without a word: latency."""

MOST_DROWNED = 0.1
"""Of the sounding programme, that may drown in noise without a word."""


class Case:
    """One dry/wet couple while it is being judged: reasons gather, and the verdict only ever gets worse."""

    def __init__(
        self, dry: Channel, wet: Channel, reference: Channel | None, guard_samples: int, repair: frozenset[Repair]
    ) -> None:
        self.dry, self.wet, self.reference, self.guard, self.repair = dry, wet, reference, guard_samples, repair
        self.rate = dry.rate
        self.findings: list[Finding] = []
        self.course: LagFit | None = None
        self.through: tuple[LagTrack, float, int] | None = None
        self.excluded: list[Excluded] = []
        self.dropouts: list[Dropout] = []
        self.take = False
        self.unsure_ends = False
        self.own_phase: bool | None = None
        self.mean = 0.0

    @property
    def clock_signal(self) -> Channel:
        """The channel that tells the time: the loop-back where there is one."""
        return self.reference if self.reference is not None else self.wet

    @property
    def refused(self) -> bool:
        """Whether one of the findings makes the capture useless."""
        return verdict(self.findings) == "refused"

    def add(self, finding: Finding) -> None:
        """Add a finding."""
        self.findings.append(finding)

    def wet_span(self, start: float, stop: float) -> Span:
        """Return the range of the wet file, in seconds, that answers dry samples [start, stop)."""
        assert self.course is not None
        timemap = self.course.clock.time_map(self.dry.start, self.dry.stop)
        return Span("wet", timemap.wet(start) / self.rate, timemap.wet(stop) / self.rate)

    def trusts_clicks(self, course: LagFit) -> bool:
        """Two clicks tell a line where the lag keeps to one in between, or leaves it by whole samples of the wet file.

        Digital takes need none: they are shifted.
        """
        if (
            not course.clock.has_integer_steps(wet_sample_period(self.wet))
            or course.clock.curve is not None
            or self._wander(course) > MOST_RESIDUAL
        ):
            return False
        return applied(course.clock, self.dry, take=True)[0] == "sinc"

    def _wander(self, course: LagFit) -> float:
        """The rms in samples by which the clocks wander about what is known of them."""
        rms = wander_rms(course.track, self.rate)
        if rms <= MOST_RESIDUAL or course.clock.curve is not None:
            return rms
        if self.own_phase is None:
            self.own_phase = is_device_phase(self.dry, self.clock_signal, course)
        return 0.0 if self.own_phase else rms

    def heard_through(self, course: LagFit, through: tuple[LagTrack, float, int]) -> None:
        """What the device's channel is on the clock of the loop-back channel."""
        self.through = through
        measured, gain_db, _ = through
        if not np.isfinite(gain_db) or float(measured.detected.mean()) < LEAST_SHARE:
            self.add(refused("device-not-detected", share=float(measured.detected.mean())))

    def judge(self, course: LagFit, programme: tuple[int, int], take: bool, progress: Progress) -> None:
        """Weigh the windows, the losses, the clocks and the ends, then listen to all of it."""
        self.course, self.take = course, take
        measured = course.track
        share = confidence(measured)
        drift = course.clock.fit.drift_ppm
        if share < LEAST_SHARE or abs(drift) > IMPOSSIBLE_PPM:
            # Music repeats itself, so that something of it seems to lie where it should at any speed.
            speed = diagnose_speed(replace(self.dry, start=programme[0], stop=programme[1]), self.clock_signal)
            if speed is not None:
                self.add(speed)
                return
        if share < LEAST_SHARE:
            self.add(refused("low-match", share=share))
        if int(inliers(measured).sum()) < 3:
            self.add(refused("too-short"))
        if abs(drift) > IMPOSSIBLE_PPM:
            self.add(refused("wrong-sample-rate", percent=drift * 1e-4))
        if self.refused:
            return
        heard = self._listen(course, programme, progress)
        self._losses(course.clock)
        self._stretches(course, heard)
        if abs(drift) > MOST_DRIFT_PPM:
            self.add(suspect("high-drift", drift_ppm=drift))
        self._rate()
        rms = self._wander(course)
        if rms > MOST_RESIDUAL:
            self.add(suspect("wander", rms_samples=rms, limit_samples=MOST_RESIDUAL))
        if course.flutter > MAX_FLUTTER:
            self.add(suspect("flutter", rms_samples=course.flutter, limit_samples=MOST_RESIDUAL))
        self._ends(course, programme)
        self._odd_places(course, heard)
        self._gaps(course, programme)
        self._enough(programme)

    def _rate(self) -> None:
        """What a low sample rate leaves out, no later step brings back."""
        recorded = self.wet.reader.info.sample_rate
        if recorded < self.rate and recorded / 2.0 < AUDIBLE_HZ:
            values = {"wet_rate": recorded, "nyquist_hz": recorded / 2.0, "dry_rate": self.rate}
            self.add(suspect("low-sample-rate", **values))

    def _enough(self, programme: tuple[int, int]) -> None:
        start, stop = programme
        left_out = np.zeros(-(-(stop - start) // WARP_KERNEL.half_width), np.bool_)
        for one in self.excluded:
            left_out[
                max(0, one.start - start) // WARP_KERNEL.half_width : max(0, one.stop - start) // WARP_KERNEL.half_width
            ] = True
        share = float(left_out.mean())
        if share > 1.0 - LEAST_SHARE:
            self.add(refused("mostly-excluded", share=share))

    def _losses(self, clock: ClockModel) -> None:
        timemap = clock.time_map(self.dry.start, self.dry.stop)
        for number, one in enumerate(clock.steps):
            lost = -round(float(clock.fit.lags[number + 1] - clock.fit.lags[number]))
            start = max(timemap.wet(one.first, number), float(self.wet.start)) / self.rate
            stop = min(timemap.wet(one.last, number + 1), float(self.wet.stop)) / self.rate
            # Of repeated samples the wet file holds both; of lost ones nothing.
            self.dropouts.append(Dropout(min(start, stop), max(start, stop), lost))
            span = Span("wet", min(start, stop), max(start, stop))
            finding = suspect("lost-samples" if lost >= 0 else "repeated-samples", span, samples=abs(lost))
            self.leave_out(one.first - WARP_KERNEL.half_width, one.last + WARP_KERNEL.half_width, finding.code)
            self.add(finding)

    def leave_out(self, start: float, stop: float, reason: str) -> None:
        """Exclude a dry range, as far as it is one."""
        low, high = max(int(start), self.dry.start), min(int(stop), self.dry.stop)
        if low < high:
            self.excluded.append(Excluded(low, high, reason))

    def _stretches(self, course: LagFit, heard: Heard | None) -> None:
        """Runs of windows that are not recognised, or not where they should be, and that do not sound right either."""
        measured, size = course.track, course.windows.size
        fits, counts = inliers(measured), _counts(measured)
        for first, last in find_runs(~fits & counts):
            deaf = bool((measured.weight[first:last] == 0).any())
            before = measured.position[first - 1] if first else measured.position[first] - size
            after = measured.position[last] if last < len(fits) else measured.position[last - 1] + size
            # Tones tell hardly any delay: such a window is nothing to worry about where dry and wet are alike.
            alike = heard is not None and heard.alike(int(before), int(after))
            if alike if heard is not None and heard.tells else last - first < MOST_ODD:
                continue
            later = float(np.median(measured.residual[first:last]))
            upright = bool((measured.sign[first:last] > 0).all())
            if not deaf and upright and not self._may_lie(course, heard, (int(before), int(after)), later):
                continue
            span = self.wet_span(before, after)
            finding = suspect("not-recognised", span) if deaf else suspect("misaligned", span, samples=later)
            self.leave_out(before, after, finding.code)
            self.add(finding)

    def _may_lie(self, course: LagFit, heard: Heard | None, stretch: tuple[int, int], later: float) -> bool:
        """Whether a stretch that seems to lie some samples later may: what is heard there must be far more alike then.

        The delay of a device that distorts changes with the programme, and nothing is more alike by it.
        """
        if heard is None or self.reference is not None or stretch[0] >= stretch[1]:
            return True
        wet = replace(self.wet, exact=True)
        timemap = course.clock.time_map(self.dry.start, self.dry.stop)
        return lies_better(self.dry, wet, timemap, heard.prediction, course.polarity, stretch, later)

    def _ends(self, course: LagFit, programme: tuple[int, int]) -> None:
        timemap = course.clock.time_map(self.dry.start, self.dry.stop)
        allowed = 0.0 if self.take else MISSING_SECONDS * self.rate
        head = self.wet.start - timemap.wet(programme[0])
        tail = timemap.wet(programme[1]) - self.wet.stop
        if head > max(allowed, 1.0):
            self.add(suspect("missing-start", seconds=head / self.rate))
        if tail > max(allowed, 1.0):
            self.add(suspect("missing-end", seconds=tail / self.rate))

    def _listen(self, course: LagFit, programme: tuple[int, int], progress: Progress) -> Heard | None:
        """How alike dry and wet are, all along what the wet file holds of the programme."""
        timemap = course.clock.time_map(self.dry.start, self.dry.stop)
        start = max(programme[0], int(timemap.dry(self.wet.start)) + 1)
        stop = min(programme[1], int(timemap.dry(self.wet.stop)))
        if start >= stop:
            return None
        exact = replace(self.wet, exact=True)
        heard = listen(self.dry, exact, timemap, start, stop, self.polarity, progress)
        self.mean = heard.mean
        return heard

    def _odd_places(self, course: LagFit, heard: Heard | None) -> None:
        """What shifts nothing and is wrong all the same."""
        if heard is None:
            return
        if heard.drowned > MOST_DROWNED:
            self.add(suspect("noisy", share=heard.drowned))
        for first, last in heard.broken:
            self.leave_out(first - WARP_KERNEL.half_width, last + WARP_KERNEL.half_width, "non-finite")
        if heard.broken:
            self.add(suspect("non-finite", self.wet_span(*heard.broken[0]), count=len(heard.broken)))
        known = [(one.start, one.stop) for one in self.excluded]
        for first, last in heard.unlike:
            if any(start < last and first < stop for start, stop in known):
                continue
            self.leave_out(first, last, "disturbed")
            self.add(suspect("disturbed", self.wet_span(first, last)))

    def _gaps(self, course: LagFit, programme: tuple[int, int]) -> None:
        """Stretches without a window where the clock wanders, or at an end that the clicks contradict."""
        clock, fits = course.clock, inliers(course.track)
        position = course.track.position[fits]
        if self.unsure_ends:
            for first, last in ((programme[0], position[0]), (position[-1], programme[1])):
                self.leave_out(first, last, "unknown-lag")
            self.add(suspect("click-mismatch"))
        if clock.curve is None or clock.curve_errors is None:
            return
        knots = clock.curve[0]
        places, apart = np.clip(knots, *programme), float(knots[1] - knots[0])
        lost = find_runs(clock.curve_errors > MOST_UNSURE)
        silent = [(float(places[max(0, a - 1)]), float(places[min(b, len(places) - 1)])) for a, b in lost]
        # Beyond its knots the curve goes on straight.
        ends = (programme[0], float(knots[0]) - apart), (float(knots[-1]) + apart, programme[1])
        silent = [(a, b) for a, b in (*silent, *ends) if a < b]
        for first, last in silent:
            self.leave_out(first, last, "unknown-lag")
        if silent:
            seconds = sum(b - a for a, b in silent) / self.rate
            self.add(suspect("unknown-lag", count=len(silent), seconds=seconds))

    @property
    def polarity(self) -> int:
        """Of the device: 1 or -1."""
        if self.through is not None:
            return self.through[2]
        return self.course.polarity if self.course is not None else 1


def confidence(measured: LagTrack | None) -> float:
    """The share of the windows that tell something that agree with the clock."""
    if measured is None or not _counts(measured).any():
        return 0.0
    return float(inliers(measured)[_counts(measured)].mean())


def _counts(measured: LagTrack) -> npt.NDArray[np.bool_]:
    """The windows that tell something: recognised, or loud enough that they should have been."""
    if not len(measured.level_db):
        return np.zeros(0, np.bool_)
    loud = measured.level_db > float(np.median(measured.level_db)) - FAINT_DB
    return np.asarray(measured.detected | loud)


def outcome(case: Case) -> Alignment:
    """All of it as the contract has it."""
    course = case.course
    clock = course.clock if course is not None else ClockModel.identity()
    warp, pieces = applied(clock, case.dry, case.take or case.reference is not None)
    error = clock.fit.drift_error_ppm if course is not None else None
    gain_db = case.through[1] if case.through is not None else course.gain_db if course is not None else 0.0
    polarity: Literal[1, -1] = 1 if case.polarity > 0 else -1
    measured = course.track if course is not None else None
    reference = None
    if case.reference is not None and course is not None:
        reference = Reference(case.reference.channel, 1 if course.polarity > 0 else -1, course.gain_db)
    info = case.wet.reader.info
    undone = polarity if "polarity" in case.repair else 1
    ends = Curve(np.array(pieces[0].positions), np.array(pieces[0].lags))(np.array([0.0, 1e6]))
    applied_drift = 0.0 if warp == "shift" else clock.fit.drift_ppm
    return Alignment(
        sample_rate=case.rate,
        wet_sample_rate=info.sample_rate,
        dry_frames=case.dry.reader.info.frames,
        wet_frames=info.frames,
        dry_range=(case.dry.start, case.dry.stop),
        wet_range=_wet_range(case.wet),
        lag_samples=float(clock.fit.lags[0]),
        drift_ppm=clock.fit.drift_ppm,
        drift_error_ppm=error if error is not None and np.isfinite(error) else None,
        polarity=polarity,
        gain_db=gain_db,
        residual_rms_samples=residual_rms(measured) if measured is not None else None,
        wander_rms_samples=_wander_rms(clock, measured),
        confidence=confidence(measured),
        dropouts=tuple(case.dropouts),
        excluded=tuple(sorted(case.excluded, key=lambda one: (one.start, one.stop, one.reason))),
        verdict=verdict(case.findings),
        reasons=MESSAGES.reasons(case.findings),
        findings=tuple(case.findings),
        guard_samples=case.guard,
        reference=reference,
        warp=warp,
        applied_lag_samples=float(ends[0]) if clock.curve is None else float(clock.fit.lags[0]),
        applied_drift_ppm=applied_drift,
        applied_polarity=1 if undone > 0 else -1,
        applied_gain=db_to_amp(-gain_db) if "gain" in case.repair else 1.0,
        applied_dc=case.mean if "dc" in case.repair else 0.0,
        pieces=pieces,
        track=_windows(clock, measured) if measured is not None else (),
    )


def _wander_rms(clock: ClockModel, measured: LagTrack | None) -> float:
    if clock.curve is None or measured is None:
        return 0.0
    return float(np.std(Curve(*clock.curve)(measured.position)))


def _wet_range(wet: Channel) -> tuple[int, int]:
    info = wet.reader.info
    if info.sample_rate == wet.rate:
        return wet.start, wet.stop
    stop = -(-wet.stop * info.sample_rate // wet.rate)
    return wet.start * info.sample_rate // wet.rate, min(info.frames, stop)


def _windows(clock: ClockModel, measured: LagTrack) -> tuple[Window, ...]:
    lags = clock.lags(measured.position) + measured.residual
    rows = zip(
        *(column.tolist() for column in (measured.position, lags, measured.weight, measured.residual)), strict=True
    )
    return tuple(Window(*row) for row in rows)
