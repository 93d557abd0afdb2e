"""Diagnose an aligned capture: observe the device window by window, run all checks, and amend the alignment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from twinlib.alignment import Alignment, WarpedReader
from twinlib.audio import Reader
from twinlib.diagnosis.amend import amend, exclude, excuse, remove_places, without_false_steps
from twinlib.diagnosis.causes import (
    EXPLAINED_BY_EFFECT,
    EXPLAINED_BY_GATE,
    describe_changes,
    describe_foreign_sounds,
    describe_modulation,
    describe_reflection,
    merge_repeats,
)
from twinlib.diagnosis.confirm import Confirmed, changes_at_end, confirm_changes, without_changes
from twinlib.diagnosis.device_model import DeviceModel, identify_device
from twinlib.diagnosis.file_roles import check_roles
from twinlib.diagnosis.foreign_sound import find_foreign_sounds
from twinlib.diagnosis.modulation import (
    ProductSpectra,
    find_delay_modulation,
    find_gain_modulation,
    find_vibrato,
    programme_rates,
)
from twinlib.diagnosis.observations import Observations, observe, relative_error
from twinlib.diagnosis.recognition import ONSET_SECONDS, explained_places, late_onsets
from twinlib.diagnosis.reflections import DelayedProducts
from twinlib.diagnosis.sections import Comparison, compare_sections, own_model_ratio
from twinlib.diagnosis.spectra import Complex, Grid, Real, blocks, read_spectra
from twinlib.diagnosis.stationarity import Change, find_changes, has_tail, is_gate, is_mostly_closed, sectioning
from twinlib.diagnosis.witness import WitnessReport, compare_witness
from twinlib.estimation import find_sweeps
from twinlib.findings import Finding, info
from twinlib.intervals import Range, subtract_ranges
from twinlib.progress import Progress, SubProgress, no_progress
from twinlib.resampling import Channel, TimeMap, open_channel

MIN_SECONDS = 5.0
"""Duration of programme below which the device is not checked."""

REFLECTION_BLOCKS = 2
"""Blocks of windows in which reflections are searched: they do not change."""

LEAST_CYCLES = 8.0
"""Periods of a modulation in a take with one change, from which it is not the change itself."""

MIN_GATED_ECHO_DB = -15.0
"""Level of an echo through a gate; what the gate does to the decay of notes resembles weaker echoes."""

WITNESS_MARGIN = 1.0
"""Seconds before and after the witness that count as part of it: the pauses around it."""

OWN_RATIO = 0.7, 1.4
"""Error of the model of a foreign sound's own windows, relative to that of its surroundings."""

AUDIBLE = 1e-3
"""Amplitude of the first sound, -60 dBFS."""

MIN_GAIN_DB = -160.0
"""Gain of the device below which the wet signal is no sound: its energies underflow."""

CONTROL = 1
"""The function of the dry signal whose distortion shows the repetitions of the programme."""

Places = tuple[Finding, ...]
"""Findings of the alignment on places."""

KEPT = frozenset({"disturbed"})
"""Codes of excluded places that are observed, because the diagnosis may explain them."""


def diagnose(
    alignment: Alignment,
    dry: Path,
    wet: Path,
    *,
    channel: int = 0,
    witness: Sequence[Range] = (),
    progress: Progress = no_progress,
) -> Alignment:
    """Return the alignment of `wet` with `dry`, amended by the findings on changes of the device.

    `channel` (from 0) is the aligned channel of the wet file. `witness` are the dry ranges [start, stop) of the
    repeated excerpt; without them, only the programme is compared with itself. A refused alignment, and one of a gain
    below `MIN_GAIN_DB`, are returned as they are. `progress` counts to about 100. Raises `AudioError` for unreadable
    files.
    """
    if alignment.verdict == "refused" or alignment.gain_db < MIN_GAIN_DB:
        return alignment
    repeats: Sequence[Finding] = ()
    if witness:
        report = _compare_witness(alignment, dry, wet, channel, witness)
        repeats = report.findings if report.witness else (info("unknown-noise", expected=len(witness)),)
        alignment = replace(alignment, noise_floor_dbfs=report.noise_floor_dbfs, witness=report.witness)
    with Reader(dry) as dry_reader, Reader(wet) as wet_reader:
        rate = alignment.sample_rate
        column = channel if dry_reader.info.channels > channel else 0
        dry_channel = open_channel(dry_reader, column, rate, alignment.dry_range)
        wet_channel = open_channel(wet_reader, channel, rate, alignment.wet_range)
        found, explained, places, late = _check_programme(alignment, dry_channel, wet_channel, witness, progress)
        roles = _check_roles(alignment, dry_channel, wet_channel, is_steady_pair=not found and not witness)
        foreign = [finding.span for finding in found if finding.code == "foreign-sound" and finding.span is not None]
        onset = alignment.timemap.wet(_first_sound(dry_channel)) / rate + ONSET_SECONDS
    if any(repeat.code == "witness-modulated" for repeat in repeats):
        explained |= EXPLAINED_BY_EFFECT
    found = [*roles, *merge_repeats(found, repeats)]
    late += tuple(each for each in alignment.findings if _is_disturbed_before(each, onset))
    alignment = without_false_steps(excuse(remove_places(alignment, places), late), found)
    return exclude(amend(alignment, found, explained), foreign, "foreign-sound")


def _is_disturbed_before(finding: Finding, second: float) -> bool:
    return finding.code == "disturbed" and finding.span is not None and finding.span.stop < second


def _first_sound(dry: Channel) -> int:
    """Return the position of the first audible sample."""
    for start in range(dry.start, dry.stop, dry.rate):
        sounds = np.abs(dry.read(start, min(start + dry.rate, dry.stop))) > AUDIBLE
        if sounds.any():
            return start + int(sounds.argmax())
    return dry.stop


def _compare_witness(
    alignment: Alignment, dry: Path, wet: Path, channel: int, witness: Sequence[Range]
) -> WitnessReport:
    guard = alignment.guard_samples
    with Reader(dry) as played, WarpedReader(wet, alignment, channel) as warped:
        column = channel if channel < played.info.channels else 0
        return compare_witness(
            alignment,
            witness,
            lambda start, stop: played.read(start, stop)[:, column],
            lambda start, stop: warped.read(start + guard, stop + guard),
        )


@dataclass(frozen=True)
class _Observed:
    """All that one pass over the windows collects."""

    observations: Observations
    products: ProductSpectra
    control: ProductSpectra
    reflections: DelayedProducts
    error: float
    dry_level: Real


def _check_programme(
    alignment: Alignment, dry: Channel, wet: Channel, witness: Sequence[Range], progress: Progress
) -> tuple[list[Finding], frozenset[str], Places, Places]:
    """Return the findings on the programme, and the codes of the findings of the alignment that they explain.

    The others are the findings of the alignment on places that the model of the device explains, and on those after a
    rest, which may differ.
    """
    time_map, rate = alignment.timemap, alignment.sample_rate
    vibrato = find_vibrato(time_map, *alignment.dry_range, rate)
    if vibrato is not None:
        return *describe_modulation(vibrato, "vibrato"), (), ()
    start, stop = _programme(alignment, wet)
    # A sweep visits each frequency once: its response cannot be told from a change.
    sweeps = [sweep.range for sweep in find_sweeps(dry)]
    parts = subtract_ranges(start, stop, sorted(sweeps))
    grid = Grid.over(*max(parts, key=lambda part: part[1] - part[0], default=(start, start)), rate)
    if grid.count * grid.hop_seconds < MIN_SECONDS:
        return [], frozenset(), (), ()
    model = identify_device(dry, wet, time_map, grid)
    if model is None:
        return [], frozenset(), (), ()
    observed = _observe(alignment, dry, wet, model, grid, SubProgress(progress, 90.0, grid.count))

    def confirm(changes: Sequence[Change], foreign: Sequence[Range]) -> Confirmed:
        def compare(first: Range, second: Range) -> Comparison | None:
            return compare_sections(dry, wet, time_map, grid, first, second)

        return confirm_changes(changes, grid, foreign, compare)

    observations = observed.observations
    changes = find_changes(observations, grid.hop_seconds)
    margin = round(WITNESS_MARGIN * rate)
    excerpts = [((a - margin - grid.start) // grid.hop, (b + margin - grid.start) // grid.hop + 1) for a, b in witness]
    foreign = [
        section
        for section in find_foreign_sounds(observations, grid.hop_seconds, excerpts)
        if OWN_RATIO[0] < own_model_ratio(dry, wet, time_map, grid, section) < OWN_RATIO[1]
    ]
    if foreign:
        if any(change.gradual for change in changes):
            changes = find_changes(observations.without(foreign), grid.hop_seconds)
        possible = sorted([*changes, *changes_at_end(foreign, grid)], key=lambda change: change.window)
        changes = confirm(possible, foreign)[0]
        foreign = without_changes(foreign, changes, grid)
        observed = replace(observed, observations=observations.without(foreign))
    found, explained = _check_device(observed, grid, time_map, changes, lambda changes: confirm(changes, foreign))
    places = explained_places(alignment, dry, wet, model, observations, observed.dry_level, grid)
    late = late_onsets(alignment, observed.dry_level, grid)
    return describe_foreign_sounds(foreign, found, grid, time_map) + found, explained, places, late


def _programme(alignment: Alignment, wet: Channel) -> Range:
    """Return the dry range [start, stop) of the programme that both files hold."""
    # The windows of the track are within the programme: the clicks of a reel are not.
    positions, time_map = [window.position for window in alignment.track], alignment.timemap
    start = max(min(positions, default=0.0), time_map.dry(wet.start) + 1)
    stop = min(max(positions, default=0.0), time_map.dry(wet.stop) - 1)
    return int(start), int(stop)


def _check_roles(alignment: Alignment, dry: Channel, wet: Channel, is_steady_pair: bool) -> list[Finding]:
    grid = Grid.over(*_programme(alignment, wet), alignment.sample_rate)
    return check_roles(dry, wet, alignment.timemap, grid, is_steady_pair)


def _check_device(
    observed: _Observed,
    grid: Grid,
    time_map: TimeMap,
    changes: Sequence[Change],
    confirm: Callable[[Sequence[Change]], Confirmed],
) -> tuple[list[Finding], frozenset[str]]:
    """Return the findings on changes of the device and effects, and the codes that they explain."""
    sections = sectioning(observed.observations, grid.hop_seconds)
    seconds = grid.count * grid.hop_seconds
    reflection = observed.reflections.find()
    steps = [round(change.window) for change in changes if not change.gradual]
    is_gated = is_gate(observed.observations, steps)
    if is_gated and reflection is not None and (reflection.kind != "echo" or reflection.level_db < MIN_GATED_ECHO_DB):
        # The opening of a gate follows the programme. In its silence the monitored dry signal would be audible.
        reflection = None
    if reflection is not None and reflection.kind == "room" and not has_tail(observed.observations):
        reflection = None
    if reflection is not None and reflection.is_distant:
        return describe_reflection(reflection)
    tempo = programme_rates(observed.dry_level, grid.hop_seconds)
    # The spectrum of one change is large at low rates.
    cycles = LEAST_CYCLES if len(changes) == 1 else 0.0
    delay = find_delay_modulation(observed.products, observed.control, observed.error, seconds, tempo)
    gain = find_gain_modulation(observed.observations, grid.hop_seconds, sections, tempo)
    # A deep tremolo changes the gain within a window, so that the products have its lines, too.
    if gain is not None and gain.is_evident:
        delay = None
    if delay is not None and delay.rate_hz * seconds > cycles:
        return describe_modulation(delay, "delay")
    if gain is not None and gain.rate_hz * seconds > cycles:
        return describe_modulation(gain, "gain")
    if reflection is not None:
        return describe_reflection(reflection)
    confirmed, comparisons = confirm(changes)
    if is_gated and (not confirmed or is_mostly_closed(observed.observations)):
        return [info("gate")], EXPLAINED_BY_GATE
    return describe_changes(confirmed, comparisons, observed.observations, grid, time_map)


def _observe(
    alignment: Alignment, dry: Channel, wet: Channel, model: DeviceModel, grid: Grid, progress: Progress
) -> _Observed:
    """Compare all windows with the model, in constant memory but for some numbers of each window."""
    intact = _intact_windows(alignment, grid)
    products, control, reflections = ProductSpectra(grid), ProductSpectra(grid), DelayedProducts(grid)
    parts: list[Observations] = []
    levels: list[Real] = []
    noise: Real | None = None
    error = wet_energy = 0.0
    for first, stop in blocks(grid):
        spectra = read_spectra(dry, wet, alignment.timemap, grid, first, stop, model.scale)
        predicted = model.predict(spectra)
        noise = relative_error(spectra, predicted) if noise is None else noise
        seen = observe(model, spectra, predicted, noise, grid)
        known = intact[first:stop]
        levels.append(seen.level)
        residual = np.where(known > 0, seen.residual, np.nan)
        seen = replace(seen, level=seen.level * known, residual=residual)
        parts.append(seen)
        rest = spectra.wet - predicted
        # What only changes the gain is found by the gains. The gain of a compressor follows the decay of notes, which
        # resemble their own past.
        for number, band in enumerate(grid.bands):
            rest[:, band] -= (seen.gain[number] - 1.0).astype(np.float32)[:, None] * predicted[:, band]
        if first < REFLECTION_BLOCKS * (stop - first):
            reflections.add(rest, predicted, spectra.functions[0], spectra.wet)
        products.add(rest, predicted, seen.audible)
        control.add(_unlike(spectra.functions[CONTROL], spectra.functions[0], grid), spectra.functions[0], seen.audible)
        error += float(np.square(np.abs(rest)).sum())
        wet_energy += float(np.square(np.abs(spectra.wet)).sum())
        progress(stop - first)
    observations, dry_level = Observations.concatenate(parts), np.concatenate(levels)
    return _Observed(observations, products, control, reflections, error / (wet_energy + 1e-20), dry_level)


def _unlike(distorted: Complex, linear: Complex, grid: Grid) -> Complex:
    """Return the part of a distorted signal that one gain for each band of the signal itself does not explain."""
    rest = distorted.copy()
    for band in grid.bands:
        x, y = linear[:, band], distorted[:, band]
        gain = (x.conj() * y).real.sum(axis=1) / (np.square(np.abs(x)).sum(axis=1) + np.float32(1e-20))
        rest[:, band] -= gain[:, None] * x
    return rest


def _intact_windows(alignment: Alignment, grid: Grid) -> Real:
    """Return 1 for windows that touch no excluded place, else 0."""
    intact = np.ones(grid.count)
    for place in alignment.excluded:
        if place.reason not in KEPT:
            first = (place.start - grid.start) // grid.hop - 1
            stop = -(-(place.stop - grid.start) // grid.hop) + 1
            intact[max(0, first) : max(0, stop)] = 0.0
    return intact
