"""Confirm the changes of a device: the sections before and after a change must differ."""

from collections.abc import Callable, Sequence

from twinlib.diagnosis.sections import Comparison
from twinlib.diagnosis.spectra import Grid
from twinlib.diagnosis.stationarity import Change
from twinlib.intervals import Range

MARGIN_SECONDS = 0.4
"""Distance of a section from a change, whose place is uncertain."""

MERGE_SECONDS = 3.0
"""Distance of two changes up to which they are one."""

NEAR_SECONDS = 1.0
"""Distance from a foreign sound at which a change may be its effect."""

END_SECONDS = 0.4
"""Distance from an end of the take up to which a foreign sound reaches it."""

CERTAIN_SECONDS = 3.0
"""Shortest section that makes a change near a foreign sound certain."""

Compare = Callable[[Range, Range], Comparison | None]
"""Compares two ranges of windows; None if one is too short."""

Confirmed = tuple[list[Change], list[Comparison | None]]
"""Changes, and the comparisons of their sections, None for sections that cannot be compared."""


def confirm_changes(changes: Sequence[Change], grid: Grid, foreign: Sequence[Range], compare: Compare) -> Confirmed:
    """Return the changes whose sections differ.

    Without a change that is not one, its two sections become one and are compared with their neighbours. Near a foreign
    sound, a change must be certain.
    """
    kept = _merge_near(changes, grid, compare)
    while True:
        comparisons: list[Comparison | None] = []
        for number, change in enumerate(kept):
            if change.gradual:
                comparisons.append(None)
                continue
            first, second, is_near = _sections(kept, number, grid, foreign)
            comparison = compare(first, second)
            is_same = comparison is not None and comparison.cause == "same"
            shortest = min(stop - start for start, stop in (first, second)) * grid.hop_seconds
            if is_same or (is_near and (comparison is None or shortest < CERTAIN_SECONDS)):
                del kept[number]
                break
            comparisons.append(comparison)
        else:
            return kept, comparisons


def _merge_near(changes: Sequence[Change], grid: Grid, compare: Compare) -> list[Change]:
    """Return the changes without the less clear one of two that are near each other, unless they cancel.

    A knob turns for seconds, and a short section has programme of its own.
    """
    kept = list(changes)
    number = 0
    while number + 1 < len(kept):
        first, second = kept[number : number + 2]
        outer = (
            _sections([*kept[: number + 1], *kept[number + 2 :]], number, grid, ())[0],
            _sections([*kept[:number], *kept[number + 1 :]], number, grid, ())[1],
        )
        is_near = (second.window - first.window) * grid.hop_seconds < MERGE_SECONDS
        comparison = compare(*outer) if is_near else None
        if comparison is not None and comparison.cause != "same":
            del kept[number if first.statistic < second.statistic else number + 1]
        else:
            number += 1
    return kept


def _sections(
    changes: Sequence[Change], number: int, grid: Grid, foreign: Sequence[Range]
) -> tuple[Range, Range, bool]:
    """Return the windows before and after a change, up to its neighbours, and whether a foreign sound is near."""
    margin, near = (round(seconds / grid.hop_seconds) for seconds in (MARGIN_SECONDS, NEAR_SECONDS))
    place = round(changes[number].window)
    begin = round(changes[number - 1].window) + margin if number else 0
    end = round(changes[number + 1].window) - margin if number + 1 < len(changes) else grid.count
    low, high, is_near = place - margin, place + margin, False
    for first, stop in foreign:
        if first - near <= place <= stop + near:
            is_near = True
            # At an end of the take, what seems to be a foreign sound may be the other section.
            low, high = (low, high) if _at_end((first, stop), grid) else (min(low, first), max(high, stop))
    return (begin, max(begin, low)), (min(high, end), end), is_near


def changes_at_end(foreign: Sequence[Range], grid: Grid) -> list[Change]:
    """Return possible changes where foreign sounds reach an end of the take, as another state of the device does."""
    unknown = (0.0,) * 2 * (len(grid.bands) + 1)
    places = [stop if first < grid.count - stop else first for first, stop in foreign if _at_end((first, stop), grid)]
    return [Change(float(place), unknown, unknown, 0.0, 0.0, 0.0, False) for place in places]


def _at_end(foreign: Range, grid: Grid) -> bool:
    near = round(END_SECONDS / grid.hop_seconds)
    return foreign[0] <= near or foreign[1] >= grid.count - near


def without_changes(foreign: Sequence[Range], changes: Sequence[Change], grid: Grid) -> list[Range]:
    """Return the foreign sounds that are not the effect of a change: the error of the model rises with it."""
    near = round(NEAR_SECONDS / grid.hop_seconds)
    return [
        (first, stop)
        for first, stop in foreign
        if not any(change.gradual or first - near <= change.window <= stop + near for change in changes)
    ]
