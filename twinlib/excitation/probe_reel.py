"""The probe reel: test signals and an excerpt of music, played twice; recorded like any other reel.

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
from twinlib.excitation.tones import PROBE_HERTZ, SYNTHETIC
from twinlib.progress import Progress, no_progress

Kind = Literal["marker", "silence", "sweep", "sine", "smpte", "ccif", "multitone", "ramp", "burst", "music"]

SWEEP_LEVELS = (-40.0, -32.0, -24.0, -18.0, -12.0, -6.0, -1.0)
SWEEP_SECONDS = 9.0
SWEEP_TAIL_SECONDS = 0.6
LOWEST_HZ, HIGHEST_HZ = 20.0, 20000.0

SINE_HERTZ = PROBE_HERTZ
SINE_LEVELS = (-30.0, -24.0, -18.0, -12.0, -9.0, -6.0, -3.0)
SINE_SETTLE_SECONDS = 0.25

PAIR_LEVELS = (-12.0, -3.0)
PAIR_SETTLE_SECONDS = 0.25
MULTITONE_LEVELS = (-20.0, -3.0)
MULTITONE_COUNT = 32
MULTITONE_SEED = 16756
"""Seed of the phases with the lowest crest factor among the first 20,000 at 44.1 kHz: 10.3 dB."""

RAMP_HERTZ = (100.0, 1000.0, 5000.0)
RAMP_LEVELS = (-60.0, -0.5)
RAMP_SECONDS = 4.0

BURST_HERTZ = 1000.0
BURST_STEPS = ((-20.0, 0.5), (-3.0, 0.1), (-20.0, 0.9), (-3.0, 1.0), (-20.0, 1.5))
"""Level in dBFS and duration in seconds of each step."""

SILENCE_SECONDS = 2.0
EXCERPT_SECONDS = 10.0
EXCERPT_DBFS = -3.0
GAP_SECONDS = 0.25
FADE_SECONDS = 0.005

_CANDIDATES = 16
"""Number of candidate excerpts of a source; the loudest is used."""

_EXCERPT_SPAWN_KEY = 1 << 20
"""Spawn key of the excerpt's random generator, distinct from those of the reels."""


@dataclass(frozen=True)
class Tone:
    """A sine `10 ** (dbfs / 20) * sin(2 pi hz t + phase)` with `cycles` periods in the window of its section."""

    cycles: int
    hz: float
    dbfs: float
    phase: float = 0.0


@dataclass(frozen=True)
class Section:
    """Samples [start, stop) of the probe reel; a section starts and ends in silence.

    `window` is the range of samples on the reel in which the device has settled and all `tones` have whole periods.
    `level_dbfs` is the peak of the section. A sweep has a time `constant` (seconds for its frequency to grow by e) and
    lasts `frames` samples. A burst has `steps` of level and seconds. A ramp rises in dB from `from_dbfs`. Music has the
    `number` of its repetition.
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
        """Frequency of a section with a single tone."""
        return self.tones[0].hz

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> "Section":
        """Return the section from the result of `to_dict`."""
        tones = tuple(Tone(**tone) for tone in content.get("tones", ()))
        steps = tuple((level, seconds) for level, seconds in content.get("steps", ()))
        window = (content["window"][0], content["window"][1]) if content.get("window") else None
        return cls(**{**content, "tones": tones, "steps": steps, "window": window})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that are set, as JSON."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}


@dataclass(frozen=True)
class ProbeLayout:
    """Layout of a probe reel in samples."""

    sample_rate: int
    frames: int
    clicks: tuple[int, ...]
    """At both ends and between the signals. Only clicks measure the clock: the delay of a steady tone is ambiguous."""
    click_frames: int
    programme: tuple[int, int]
    sections: tuple[Section, ...] = field(repr=False)

    def of(self, *kinds: Kind) -> list[Section]:
        """Return the sections of these kinds in playing order."""
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
    """Number of samples on the reel."""


def probe_layout(sample_rate: int) -> ProbeLayout:
    """Return the layout of a probe reel of about three minutes; it depends only on the sample rate."""
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
    """Return the samples of a section other than music, float32 `(stop - start,)`."""
    length = section.stop - section.start
    match section.kind:
        case "marker":
            return make_click(sample_rate)
        case "silence":
            return np.zeros(length, np.float32)
        case "sweep":
            return _sweep(section, sample_rate)
        case "sine" | "smpte" | "ccif" | "multitone":
            return (_tones(section, sample_rate) * _fade_envelope(length, sample_rate)).astype(np.float32)
        case "ramp":
            assert section.from_dbfs is not None
            assert section.level_dbfs is not None
            level = np.linspace(section.from_dbfs, section.level_dbfs, length)
            tone = np.sin(2 * np.pi * section.hz * np.arange(length) / sample_rate)
            return (db_to_amp(level) * tone * _fade_envelope(length, sample_rate)).astype(np.float32)
        case "burst":
            level = np.repeat(
                [dbfs for dbfs, _ in section.steps], [round(seconds * sample_rate) for _, seconds in section.steps]
            )
            tone = np.sin(2 * np.pi * section.hz * np.arange(length) / sample_rate)
            return (db_to_amp(level) * tone * _fade_envelope(length, sample_rate)).astype(np.float32)
        case "music":
            raise ExcitationError("the music of a probe reel cannot be synthesised: read it from the WAV file")


def draw_excerpt(cues: pd.DataFrame, settings: Excitation, root: Path) -> list[ExcerptPart]:
    """Draw the excerpt: `EXCERPT_SECONDS` of tracks of the test split, or of the last split in `cues` (`cues/1`).

    Sources are used in random order, with the seed of the excitation, until the excerpt is complete: short sources as a
    whole, of a long source the loudest of several random excerpts.
    """
    cues = cues[~cues.track_id.isin(SYNTHETIC)]
    split = next(name for name in reversed(SPLITS) if (cues.split == name).any())
    columns = ["track_id", "artist", "licence", "source", "source_sha256"]
    table = cues.loc[cues.split == split, columns].drop_duplicates("source").sort_values("source")
    check_sources(table, root)
    rows = list(table.itertuples(index=False))
    random = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(_EXCERPT_SPAWN_KEY,)))
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
    """Write the probe reel of the excitation `name` as WAV and return the content of `probe.json` (`probe/1`).

    The same settings and sources give the same bytes. `progress` counts sections. Raises `ExcitationError` if a source
    has changed since planning.
    """
    layout = probe_layout(settings.sample_rate)
    pieces = draw_excerpt(cues, settings, root)
    with Writer(out, layout.sample_rate, settings.channels, SUBTYPES[settings.bit_depth], layout.frames) as writer:
        position = 0
        for start, samples in _events(layout, _excerpt(pieces, settings, root), progress):
            for part in (*_silence(start - position), samples):
                writer.write(np.repeat(part[:, None], settings.channels, axis=1) if part.ndim == 1 else part)
            position = start + len(samples)
        for part in _silence(layout.frames - position):
            writer.write(np.repeat(part[:, None], settings.channels, axis=1))
    reel = {
        "frames": layout.frames,
        "clicks": list(layout.clicks),
        "click_frames": layout.click_frames,
        "programme": list(layout.programme),
        "blocks": [],
    }
    return {
        "name": probe_name(name),
        "sample_rate": layout.sample_rate,
        "reels": {probe_name(name): reel},
        "sections": [section.to_dict() for section in layout.sections],
        "excerpt": [asdict(piece) for piece in pieces],
    }


def parse_layout(content: dict[str, Any]) -> ProbeLayout:
    """Return the layout from the content of `probe.json`."""
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
    """Return the sorted tracks of the excerpt in `probe.json` that are withdrawn."""
    return sorted({piece["track_id"] for piece in content["excerpt"]} & set(withdrawn))


def _sections(rate: int) -> list[Section]:
    """Return the sections in playing order, each positioned as the first section of a reel."""
    window = 1 << round(math.log2(0.37 * rate))
    top = min(HIGHEST_HZ, 0.4536 * rate)
    marker = Section("marker", 0, round(CLICK_SECONDS * rate))
    silence = Section("silence", 0, round(SILENCE_SECONDS * rate))
    return [
        silence,
        *(section for level in SWEEP_LEVELS for section in (marker, _sweep_section(level, rate))),
        *(section for hz in SINE_HERTZ if hz < 0.45 * rate for section in (marker, *_sine_sections(hz, window, rate))),
        marker,
        *(_smpte_section(level, top, 2 * window, rate) for level in PAIR_LEVELS),
        *(_ccif_section(level, top, 2 * window, rate) for level in PAIR_LEVELS),
        *(_multitone_section(level, 2 * window, rate) for level in MULTITONE_LEVELS),
        *(section for hz in RAMP_HERTZ for section in (marker, _ramp_section(hz, rate))),
        marker,
        _burst_section(rate),
        silence,
        *(section for number in (1, 2) for section in (marker, _music_section(number, rate))),
    ]


def _sine_sections(hz: float, window: int, rate: int) -> list[Section]:
    return [
        _tone_section("sine", [(hz, level, 0.0)], level, window, SINE_SETTLE_SECONDS, rate) for level in SINE_LEVELS
    ]


def _smpte_section(level: float, top: float, window: int, rate: int) -> Section:
    """Return SMPTE intermodulation tones, 4 to 1; the peak of their sum is `level`."""
    loud, soft = level + amp_to_db(0.8), level + amp_to_db(0.2)
    tones = [(60.0, loud, 0.0), (0.35 * top, soft, 0.0)]
    return _tone_section("smpte", tones, level, window, PAIR_SETTLE_SECONDS, rate)


def _ccif_section(level: float, top: float, window: int, rate: int) -> Section:
    """Return CCIF difference-frequency tones, 1 to 1; the peak of their sum is `level`."""
    half = level + amp_to_db(0.5)
    tones = [(0.95 * top, half, 0.0), (top, half, 0.0)]
    return _tone_section("ccif", tones, level, window, PAIR_SETTLE_SECONDS, rate)


def _ramp_section(hz: float, rate: int) -> Section:
    low, high = RAMP_LEVELS
    tone = Tone(0, min(hz, 0.4 * rate), high)
    return Section("ramp", 0, round(RAMP_SECONDS * rate), high, (tone,), from_dbfs=low)


def _burst_section(rate: int) -> Section:
    frames = sum(round(seconds * rate) for _, seconds in BURST_STEPS)
    loudest = max(level for level, _ in BURST_STEPS)
    return Section("burst", 0, frames, loudest, (Tone(0, BURST_HERTZ, loudest),), steps=BURST_STEPS)


def _music_section(number: int, rate: int) -> Section:
    return Section("music", 0, round(EXCERPT_SECONDS * rate), EXCERPT_DBFS, number=number)


def _sweep_section(level: float, rate: int) -> Section:
    """Return a synchronised sweep (Novák, Lotton and Simon 2015, doi 10.17743/jaes.2015.0071).

    With a whole number of periods in the time constant, every harmonic is the same sweep at an earlier time, with the
    correct phase.
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
    samples = db_to_amp(section.level_dbfs) * np.sin(phase) * _fade_envelope(section.frames, rate)
    return np.pad(samples, (0, section.stop - section.start - section.frames)).astype(np.float32)


def _tone_section(
    kind: Kind, tones: Iterable[tuple[float, float, float]], level: float, window: int, settle: float, rate: int
) -> Section:
    """Return tones given as (hertz, dBFS, phase), rounded to the nearest odd number of periods in the window.

    With odd numbers of periods in a power-of-two window, no alias of a harmonic coincides with another harmonic.
    """
    exact = []
    for hz, dbfs, phase in tones:
        cycles = 2 * round((hz * window / rate - 1) / 2) + 1
        exact.append(Tone(cycles, cycles * rate / window, dbfs, phase))
    start = round(settle * rate)
    stop = start + window + math.ceil(FADE_SECONDS * rate)
    return Section(kind, 0, stop, level, tuple(exact), (start, start + window))


def _multitone_section(level: float, window: int, rate: int) -> Section:
    """Return equal tones in equal steps of pitch from 30 Hz to 16 kHz; the peak of their sum is `level`."""
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
    """Return the sum of the tones of a section without fades; phases refer to the start of the section."""
    seconds = np.arange(section.stop - section.start) / rate
    total = np.zeros(len(seconds))
    for tone in section.tones:
        total += db_to_amp(tone.dbfs) * np.sin(2 * np.pi * tone.hz * seconds + tone.phase)
    return total


def _fade_envelope(frames: int, rate: int) -> npt.NDArray[np.float64]:
    """Return a gain that rises from zero and falls to zero within `FADE_SECONDS`."""
    from_edge = np.minimum(np.arange(frames), np.arange(frames)[::-1])
    gain: npt.NDArray[np.float64] = np.sin(np.pi / 2 * np.minimum(1.0, from_edge / (FADE_SECONDS * rate))) ** 2
    return gain


def _events(layout: ProbeLayout, excerpt: Signal, progress: Progress) -> Iterator[tuple[int, Signal]]:
    """Yield (position, samples) of everything on the reel except silence, in order."""
    yield layout.clicks[0], make_click(layout.sample_rate)
    for section in layout.sections:
        if section.kind != "silence":
            yield section.start, excerpt if section.kind == "music" else synthesise(section, layout.sample_rate)
        progress(1)
    yield layout.clicks[-1], make_click(layout.sample_rate)


def _excerpt(pieces: Iterable[ExcerptPart], settings: Excitation, root: Path) -> Signal:
    """Return the concatenated parts, each faded, at a common gain, float32 `(frames, channels)`."""
    with Sources(root, settings) as sources:
        parts = [sources.slice(piece.source, piece.source_start, piece.frames) for piece in pieces]
    longest = round(FADE_SECONDS * settings.sample_rate)
    joined = np.concatenate([apply_fades(part, crossfade_ramp(min(longest, len(part) // 2))) for part in parts])
    peak = float(np.max(np.abs(joined)))
    if peak <= 0.0:
        raise ExcitationError("the music of the probe reel is silent: exclude its track, or change the seed")
    return apply_gain(joined, EXCERPT_DBFS - amp_to_db(peak))


def _silence(frames: int) -> Iterator[Signal]:
    for start in range(0, frames, BLOCK):
        yield np.zeros(min(BLOCK, frames - start), np.float32)


def _energy(samples: Signal) -> float:
    return float(np.sum(np.square(samples, dtype=np.float64)))
