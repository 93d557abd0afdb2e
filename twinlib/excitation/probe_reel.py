"""The probe reel: measuring signals that a person records like any other reel, and an excerpt of music played twice.

The sample rate alone determines the layout. `probe_layout` returns it; `synthesise` returns the samples of one section.
Clicks between the sections measure the clock. Levels in dBFS are peak levels: a sine at 0 dBFS reaches full scale.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from twinlib.audio import BLOCK, Signal, Writer
from twinlib.contracts import SPLITS
from twinlib.db import amp_to_db, db_to_amp
from twinlib.errors import ExcitationError
from twinlib.excitation.layout import INNER_SECONDS, OUTER_SECONDS, probe_name
from twinlib.excitation.reels import SUBTYPES, check_sources
from twinlib.excitation.settings import Excitation
from twinlib.excitation.sources import Sources, apply_fades, apply_gain, crossfade_ramp, rate_ratio, source_frames
from twinlib.excitation.sync_click import CLICK_SECONDS, make_click
from twinlib.progress import Progress, no_progress

Kind = Literal["marker", "silence", "sweep", "sine", "smpte", "ccif", "multitone", "ramp", "burst", "music"]

SWEEP_LEVELS = (-40.0, -32.0, -24.0, -18.0, -12.0, -6.0, -1.0)
SWEEP_SECONDS = 9.0
SWEEP_TAIL_SECONDS = 0.6
LOWEST_HZ, HIGHEST_HZ = 20.0, 20000.0

SINE_HERTZ = (50.0, 100.0, 250.0, 500.0, 1245.0, 2489.0, 4978.0)
"""The three highest are those of which aliasing is usually told (Sato and Smith 2025)."""
SINE_LEVELS = (-30.0, -24.0, -18.0, -12.0, -9.0, -6.0, -3.0)
SINE_SETTLE_SECONDS = 0.25

PAIR_LEVELS = (-12.0, -3.0)
PAIR_SETTLE_SECONDS = 0.25
MULTITONE_LEVELS = (-20.0, -3.0)
MULTITONE_COUNT = 32
MULTITONE_SEED = 16756
"""The phases of this seed have the lowest crest factor of the first 20,000 at 44.1 kHz: 10.3 dB."""

RAMP_HERTZ = (100.0, 1000.0, 5000.0)
RAMP_LEVELS = (-60.0, -0.5)
RAMP_SECONDS = 4.0

BURST_HERTZ = 1000.0
BURST_STEPS = ((-20.0, 0.5), (-3.0, 0.1), (-20.0, 0.9), (-3.0, 1.0), (-20.0, 1.5))
"""Level in dBFS and seconds of each step."""

SILENCE_SECONDS = 2.0
EXCERPT_SECONDS = 10.0
EXCERPT_DBFS = -3.0
GAP_SECONDS = 0.25
FADE_SECONDS = 0.005

_CANDIDATES = 16
"""Places of a source of which the loudest is played."""

_SEED_PLACE = 1 << 20
"""What sets the excerpt's random numbers apart from those of any reel."""


@dataclass(frozen=True)
class Tone:
    """A sine with `cycles` whole periods in the window of its section: `10 ** (dbfs / 20) * sin(2 pi hz t + phase)`."""

    cycles: int
    hz: float
    dbfs: float
    phase: float = 0.0


@dataclass(frozen=True)
class Section:
    """Samples [start, stop) of the probe reel; they begin and end in silence.

    `window` names the samples, from the start of the reel, in which all `tones` have whole periods and the device has
    settled. `level_dbfs` is the peak of the section. A sweep has the time `constant` (seconds in which its frequency
    grows by e) and runs over `frames` samples; a burst has `steps` of level and seconds, a ramp rises in dB from
    `from_dbfs`. Music has a number, for the excerpt is played twice.
    """

    kind: Kind
    start: int
    stop: int
    level_dbfs: float | None = None
    tones: tuple[Tone, ...] = ()
    window: tuple[int, int] | None = None
    low_hz: float | None = None
    high_hz: float | None = None
    constant: float | None = None
    frames: int | None = None
    from_dbfs: float | None = None
    steps: tuple[tuple[float, float], ...] = ()
    number: int | None = None

    @property
    def hz(self) -> float:
        """The frequency of a section of one tone."""
        return self.tones[0].hz

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Section":
        """As `to_dict` gave it."""
        tones = tuple(Tone(**tone) for tone in content.get("tones", ()))
        steps = tuple((level, seconds) for level, seconds in content.get("steps", ()))
        window = (content["window"][0], content["window"][1]) if content.get("window") else None
        return cls(**{**content, "tones": tones, "steps": steps, "window": window})

    def to_dict(self) -> dict[str, Any]:
        """What it has, as JSON."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}


@dataclass(frozen=True)
class ProbeLayout:
    """What stands where on a probe reel, in samples."""

    sample_rate: int
    frames: int
    clicks: tuple[int, ...]
    """At both ends and between the signals: steady tones tell no delay, so these alone tell the clock."""
    click_frames: int
    programme: tuple[int, int]
    sections: tuple[Section, ...] = field(repr=False)

    def of(self, *kinds: Kind) -> list[Section]:
        """The sections of these kinds, in the order in which they are played."""
        return [section for section in self.sections if section.kind in kinds]


@dataclass(frozen=True)
class ExcerptPart:
    """A part of the excerpt: samples [source_start, source_stop) of a source of the test split."""

    track_id: str
    artist: str
    licence: str
    source: str
    source_sha256: str
    source_start: int
    source_stop: int
    frames: int
    """Samples on the reel."""


def probe_layout(sample_rate: int) -> ProbeLayout:
    """The cue sheet of a probe reel, about three minutes long: it depends on the sample rate alone."""
    outer, inner = (math.ceil(seconds * sample_rate) for seconds in (OUTER_SECONDS, INNER_SECONDS))
    click_frames, gap = round(CLICK_SECONDS * sample_rate), math.ceil(GAP_SECONDS * sample_rate)
    start = position = outer + click_frames + inner
    sections = []
    for section in _sections(sample_rate):
        length = section.stop
        window = section.window and (section.window[0] + position, section.window[1] + position)
        content = {**section.__dict__, "start": position, "stop": position + length, "window": window}
        sections.append(Section(**content))
        position += length + gap
    stop = position - gap
    last = stop + inner
    clicks = (outer, *(section.start for section in sections if section.kind == "marker"), last)
    return ProbeLayout(sample_rate, last + click_frames + outer, clicks, click_frames, (start, stop), tuple(sections))


def synthesise(section: Section, sample_rate: int) -> Signal:
    """The samples of a section that is no music, float32 `(stop - start,)`."""
    length = section.stop - section.start
    match section.kind:
        case "marker":
            return make_click(sample_rate)
        case "silence":
            return np.zeros(length, np.float32)
        case "sweep":
            return _sweep(section, sample_rate)
        case "sine" | "smpte" | "ccif" | "multitone":
            return (_tones(section, sample_rate) * _edges(length, sample_rate)).astype(np.float32)
        case "ramp":
            assert section.from_dbfs is not None
            assert section.level_dbfs is not None
            level = np.linspace(section.from_dbfs, section.level_dbfs, length)
            tone = np.sin(2 * np.pi * section.hz * np.arange(length) / sample_rate)
            return (db_to_amp(level) * tone * _edges(length, sample_rate)).astype(np.float32)
        case "burst":
            level = np.repeat(
                [dbfs for dbfs, _ in section.steps], [round(seconds * sample_rate) for _, seconds in section.steps]
            )
            tone = np.sin(2 * np.pi * section.hz * np.arange(length) / sample_rate)
            return (db_to_amp(level) * tone * _edges(length, sample_rate)).astype(np.float32)
        case "music":
            raise ExcitationError("the music of a probe reel is in its file alone: read it from there")


def draw_excerpt(cues: pd.DataFrame, settings: Excitation, root: Path) -> list[ExcerptPart]:
    """The excerpt: `EXCERPT_SECONDS` of the tracks of the test split (or the last split that there is), in one go.

    `cues` is the cue sheet of the excitation (`cues/1`); sources are taken in an order drawn with the excitation's
    seed, whole if they are short, the loudest of a few places if they are long, until the excerpt is full.
    """
    split = next(name for name in reversed(SPLITS) if (cues.split == name).any())
    columns = ["track_id", "artist", "licence", "source", "source_sha256"]
    table = cues.loc[cues.split == split, columns].drop_duplicates("source").sort_values("source")
    check_sources(table, root)
    rows = list(table.itertuples(index=False))
    random = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(_SEED_PLACE,)))
    order = random.permutation(len(rows)).tolist()
    left = round(EXCERPT_SECONDS * settings.sample_rate)
    pieces: list[ExcerptPart] = []
    with Sources(root, settings) as sources:
        while left:
            row = rows[order[len(pieces) % len(order)]]
            frames, rate = sources.extent(row.source)
            p, q = rate_ratio(rate, settings.sample_rate)
            length = min(left, frames // q * p)
            needed = source_frames(length, rate, settings.sample_rate)
            starts = sorted({q * int(n) for n in random.integers((frames - needed) // q + 1, size=_CANDIDATES)})
            energies = [_energy(sources.slice(row.source, start, length)) for start in starts]
            best = starts[int(np.argmax(energies))]
            about = (row.track_id, row.artist, row.licence, row.source, row.source_sha256)
            pieces.append(ExcerptPart(*about, source_start=best, source_stop=best + needed, frames=length))
            left -= length
    return pieces


def render_probe_reel(
    name: str, cues: pd.DataFrame, settings: Excitation, root: Path, out: Path, progress: Progress = no_progress
) -> dict[str, Any]:
    """Write the probe reel of the excitation `name` as WAV; returns the content of `probe.json` (`probe/1`).

    The same settings and sources give the same bytes. `progress` counts sections. Raises `ExcitationError` when a
    source is no longer the file that was planned with.
    """
    plan = probe_layout(settings.sample_rate)
    pieces = draw_excerpt(cues, settings, root)
    with Writer(out, plan.sample_rate, settings.channels, SUBTYPES[settings.bit_depth], plan.frames) as writer:
        position = 0
        for start, samples in _parts(plan, _excerpt(pieces, settings, root), progress):
            for part in (*_silence(start - position), samples):
                writer.write(np.repeat(part[:, None], settings.channels, axis=1) if part.ndim == 1 else part)
            position = start + len(samples)
        for part in _silence(plan.frames - position):
            writer.write(np.repeat(part[:, None], settings.channels, axis=1))
    reel = {
        "frames": plan.frames,
        "clicks": list(plan.clicks),
        "click_frames": plan.click_frames,
        "programme": list(plan.programme),
        "blocks": [],
    }
    return {
        "name": probe_name(name),
        "sample_rate": plan.sample_rate,
        "reels": {probe_name(name): reel},
        "sections": [section.to_dict() for section in plan.sections],
        "excerpt": [asdict(piece) for piece in pieces],
    }


def parse_layout(content: dict[str, Any]) -> ProbeLayout:
    """The layout from the content of `probe.json`."""
    (reel,) = content["reels"].values()
    sections = tuple(Section.from_dict(section) for section in content["sections"])
    programme = reel["programme"]
    return ProbeLayout(
        content["sample_rate"],
        reel["frames"],
        tuple(reel["clicks"]),
        reel["click_frames"],
        (programme[0], programme[1]),
        sections,
    )


def excluded_music(content: dict[str, Any], withdrawn: Iterable[str]) -> list[str]:
    """The tracks of the excerpt, by the content of `probe.json`, that must not be used any more; sorted."""
    return sorted({piece["track_id"] for piece in content["excerpt"]} & set(withdrawn))


def _sections(rate: int) -> Iterator[Section]:
    """Every section as if it were the first on the reel."""
    marker = Section("marker", 0, round(CLICK_SECONDS * rate))
    yield Section("silence", 0, round(SILENCE_SECONDS * rate))
    for level in SWEEP_LEVELS:
        yield marker
        yield _sweep_section(level, rate)
    window = 1 << round(math.log2(0.37 * rate))
    for hz in (hz for hz in SINE_HERTZ if hz < 0.45 * rate):
        yield marker
        for level in SINE_LEVELS:
            yield _tone_section("sine", [(hz, level, 0.0)], level, window, SINE_SETTLE_SECONDS, rate)
    yield marker
    top = min(HIGHEST_HZ, 0.4536 * rate)
    for level in PAIR_LEVELS:
        # Both peaks together reach the level: 4 to 1, and 1 to 1.
        loud, soft = level + amp_to_db(0.8), level + amp_to_db(0.2)
        tones = [(60.0, loud, 0.0), (0.35 * top, soft, 0.0)]
        yield _tone_section("smpte", tones, level, 2 * window, PAIR_SETTLE_SECONDS, rate)
    for level in PAIR_LEVELS:
        half = level + amp_to_db(0.5)
        tones = [(0.95 * top, half, 0.0), (top, half, 0.0)]
        yield _tone_section("ccif", tones, level, 2 * window, PAIR_SETTLE_SECONDS, rate)
    for level in MULTITONE_LEVELS:
        yield _multitone_section(level, 2 * window, rate)
    for hz in RAMP_HERTZ:
        yield marker
        tone = Tone(0, min(hz, 0.4 * rate), RAMP_LEVELS[1])
        yield Section("ramp", 0, round(RAMP_SECONDS * rate), RAMP_LEVELS[1], (tone,), from_dbfs=RAMP_LEVELS[0])
    yield marker
    frames = sum(round(seconds * rate) for _, seconds in BURST_STEPS)
    loudest = max(level for level, _ in BURST_STEPS)
    yield Section("burst", 0, frames, loudest, (Tone(0, BURST_HERTZ, loudest),), steps=BURST_STEPS)
    yield Section("silence", 0, round(SILENCE_SECONDS * rate))
    for number in (1, 2):
        yield marker
        yield Section("music", 0, round(EXCERPT_SECONDS * rate), EXCERPT_DBFS, number=number)


def _sweep_section(level: float, rate: int) -> Section:
    """A synchronised sweep (Novák, Lotton and Simon 2015, doi 10.17743/jaes.2015.0071).

    With a whole number of periods in the time constant, every harmonic is the sweep itself, only earlier, and so has
    the right phase.
    """
    top = min(HIGHEST_HZ, 0.4536 * rate)
    constant = round(SWEEP_SECONDS / math.log(top / LOWEST_HZ) * LOWEST_HZ) / LOWEST_HZ
    frames = math.floor(constant * math.log(top / LOWEST_HZ) * rate)
    stop = frames + round(SWEEP_TAIL_SECONDS * rate)
    return Section("sweep", 0, stop, level, low_hz=LOWEST_HZ, high_hz=top, constant=constant, frames=frames)


def _sweep(section: Section, rate: int) -> Signal:
    assert section.low_hz is not None
    assert section.constant is not None
    assert section.frames is not None
    assert section.level_dbfs is not None
    seconds = np.arange(section.frames) / rate
    phase = 2 * np.pi * section.low_hz * section.constant * np.expm1(seconds / section.constant)
    samples = db_to_amp(section.level_dbfs) * np.sin(phase) * _edges(section.frames, rate)
    return np.pad(samples, (0, section.stop - section.start - section.frames)).astype(np.float32)


def _tone_section(
    kind: Kind, tones: Iterable[tuple[float, float, float]], level: float, window: int, settle: float, rate: int
) -> Section:
    """Tones given as hertz, dBFS and phase, moved to the nearest odd number of periods in the window.

    With odd numbers in a window of a power of two, no alias of a harmonic falls on another harmonic.
    """
    exact = []
    for hz, dbfs, phase in tones:
        cycles = 2 * round((hz * window / rate - 1) / 2) + 1
        exact.append(Tone(cycles, cycles * rate / window, dbfs, phase))
    start = round(settle * rate)
    stop = start + window + math.ceil(FADE_SECONDS * rate)
    return Section(kind, 0, stop, level, tuple(exact), (start, start + window))


def _multitone_section(level: float, window: int, rate: int) -> Section:
    """Equal tones in equal steps of pitch from 30 Hz to 16 kHz; their sum peaks at the level."""
    top = min(16000.0, 0.36 * rate)
    hertz = 30.0 * (top / 30.0) ** (np.arange(MULTITONE_COUNT) / (MULTITONE_COUNT - 1))
    phases = np.random.default_rng(MULTITONE_SEED).uniform(0, 2 * np.pi, MULTITONE_COUNT)
    raw = [(float(hz), 0.0, float(phase)) for hz, phase in zip(hertz, phases, strict=True)]
    section = _tone_section("multitone", raw, level, window, PAIR_SETTLE_SECONDS, rate)
    assert section.window is not None
    peak = float(np.max(np.abs(_tones(section, rate)[slice(*section.window)])))
    dbfs = math.floor(1000 * (level - amp_to_db(peak))) / 1000
    tones = tuple(Tone(tone.cycles, tone.hz, dbfs, tone.phase) for tone in section.tones)
    return Section("multitone", 0, section.stop, level, tones, section.window)


def _tones(section: Section, rate: int) -> npt.NDArray[np.float64]:
    """The sum of the tones of a section, without fades; their phases count from the start of the section."""
    seconds = np.arange(section.stop - section.start) / rate
    total = np.zeros(len(seconds))
    for tone in section.tones:
        total += db_to_amp(tone.dbfs) * np.sin(2 * np.pi * tone.hz * seconds + tone.phase)
    return total


def _edges(frames: int, rate: int) -> npt.NDArray[np.float64]:
    """A gain that rises from zero and falls to it within `FADE_SECONDS`."""
    from_edge = np.minimum(np.arange(frames), np.arange(frames)[::-1])
    gain: npt.NDArray[np.float64] = np.sin(np.pi / 2 * np.minimum(1.0, from_edge / (FADE_SECONDS * rate))) ** 2
    return gain


def _parts(plan: ProbeLayout, excerpt: Signal, progress: Progress) -> Iterator[tuple[int, Signal]]:
    """Everything on the reel but silence, in order, each with its position."""
    yield plan.clicks[0], make_click(plan.sample_rate)
    for section in plan.sections:
        if section.kind != "silence":
            yield section.start, excerpt if section.kind == "music" else synthesise(section, plan.sample_rate)
        progress(1)
    yield plan.clicks[-1], make_click(plan.sample_rate)


def _excerpt(pieces: Iterable[ExcerptPart], settings: Excitation, root: Path) -> Signal:
    """The pieces one after the other, float32 `(frames, channels)`, each faded, all at one gain."""
    with Sources(root, settings) as sources:
        parts = [sources.slice(piece.source, piece.source_start, piece.frames) for piece in pieces]
    longest = round(FADE_SECONDS * settings.sample_rate)
    joined = np.concatenate([apply_fades(part, crossfade_ramp(min(longest, len(part) // 2))) for part in parts])
    peak = float(np.max(np.abs(joined)))
    if peak <= 0.0:
        raise ExcitationError("the music of the probe reel is silent: exclude its track, or take another seed")
    return apply_gain(joined, EXCERPT_DBFS - amp_to_db(peak))


def _silence(frames: int) -> Iterator[Signal]:
    for start in range(0, frames, BLOCK):
        yield np.zeros(min(BLOCK, frames - start), np.float32)


def _energy(samples: Signal) -> float:
    return float(np.sum(np.square(samples, dtype=np.float64)))
