"""Layout of the reels of an excitation, computed from the settings alone.

A reel is silence, click, short silence, programme, short silence, click, silence. The programme has one block of slices
per split, in the order train, valid, test, separated by digital silence.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twinlib.contracts import EXCITATION, PROBE, PROBE_FILE, SplitName
from twinlib.errors import ExcitationError
from twinlib.excitation.settings import Excitation
from twinlib.excitation.sync_click import CLICK_SECONDS
from twinlib.files import read_json

OUTER_SECONDS = 1.2
"""Silence before the first and after the last click; sound cards can lose the start of a stream."""

INNER_SECONDS = 0.3
"""Silence between a click and the programme, in which the device settles."""


@dataclass(frozen=True)
class Block:
    """The slices of one split, [start, stop) in samples on the reel."""

    split: SplitName
    start: int
    stop: int
    slices: int


@dataclass(frozen=True)
class Reel:
    """Layout of one reel in samples: length, starts of both clicks, programme and blocks."""

    name: str
    frames: int
    clicks: tuple[int, int]
    click_frames: int
    programme: tuple[int, int]
    blocks: tuple[Block, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of the reel in `excitation.json`, without its name."""
        return {
            "frames": self.frames,
            "clicks": list(self.clicks),
            "click_frames": self.click_frames,
            "programme": list(self.programme),
            "blocks": [asdict(block) for block in self.blocks],
        }


def get_reel(excitation: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the layout of one reel from the content of `excitation.json` or `probe.json`.

    Raises `ExcitationError` if there is no such reel.
    """
    reels: dict[str, dict[str, Any]] = excitation.get("reels", {})
    if name not in reels:
        known = ", ".join(reels) or "none"
        raise ExcitationError(
            f"the excitation has no reel {name}; its reels: {known}. Restore its file, or plan it again"
        )
    return reels[name]


def read_reel(path: Path, name: str) -> dict[str, Any]:
    """Return the layout of one reel from its file: `excitation.json`, or `probe.json` for a probe reel.

    Raises `TwinError` if the file is unreadable, `ExcitationError` if it has no such reel.
    """
    return get_reel(read_json(path, PROBE if path.name == PROBE_FILE else EXCITATION), name)


def reel_names(name: str, settings: Excitation) -> list[str]:
    """Return the names of the reels of an excitation in order: `main-01`, `main-02`, with more digits if needed.

    Raises `ExcitationError` if a reel is too short for a slice of every split.
    """
    count = len(_slices_by_reel(settings))
    digits = max(2, len(str(count)))
    return [f"{name}-{number:0{digits}d}" for number in range(1, count + 1)]


def probe_name(excitation: str) -> str:
    """Return the name of the probe reel of an excitation, which is also the name of its take."""
    return f"{excitation}-probe"


def lay_out_reels(name: str, settings: Excitation) -> list[Reel]:
    """Return the layout of every reel of an excitation; raises as `reel_names` does."""
    counts = _slices_by_reel(settings)
    return [_reel(reel, count, settings) for reel, count in zip(reel_names(name, settings), counts, strict=True)]


def apportion_slices(count: int, shares: dict[SplitName, float]) -> dict[SplitName, int]:
    """Divide `count` slices by shares: at least one per split, the rest by largest remainders."""
    free = count - len(shares)
    if free < 0:
        raise ExcitationError(f"{count} slices cannot fill {len(shares)} splits")
    wanted = {name: max(0.0, share * count - 1) for name, share in shares.items()}
    scale = free / total if (total := sum(wanted.values())) else 0.0
    given = {name: math.floor(wish * scale + 1e-9) for name, wish in wanted.items()}
    order = sorted(shares, key=lambda name: (given[name] - wanted[name] * scale, -shares[name], name))
    for name in order[: free - sum(given.values())]:
        given[name] += 1
    return {name: 1 + given[name] for name in shares}


def slice_hop(settings: Excitation) -> int:
    """Return the samples from the start of a slice to the start of the next slice in its block."""
    return settings.slice_samples - settings.crossfade_samples


def _margins(settings: Excitation) -> tuple[int, int, int, int]:
    """Return the samples of outer silence, click, inner silence and silence between blocks."""
    rate = settings.sample_rate
    return (
        math.ceil(OUTER_SECONDS * rate),
        round(CLICK_SECONDS * rate),
        math.ceil(INNER_SECONDS * rate),
        math.ceil(settings.guard_seconds * rate),
    )


def _slices_by_reel(settings: Excitation) -> list[int]:
    """Return the number of slices of each reel: the fewest reels within `reel_minutes`, filled evenly."""
    outer, click, inner, guard = _margins(settings)
    splits = len(settings.split.shares)
    limit = math.floor(settings.reel_minutes * 60 * settings.sample_rate)
    fixed = 2 * (outer + click + inner) + (splits - 1) * guard + splits * settings.crossfade_samples
    room = (limit - fixed) // slice_hop(settings)
    if room < splits:
        needed = (fixed + splits * slice_hop(settings)) / settings.sample_rate / 60
        raise ExcitationError(
            f"a reel of {settings.reel_minutes:g} minutes is too short for a slice of each split: set reel_minutes to "
            f"at least {math.ceil(needed * 100) / 100:g}"
        )
    reels = math.ceil(settings.slices / room)
    if settings.slices < reels * splits:
        raise ExcitationError(
            f"{settings.slices} slices are too few for one of each split on {reels} reels: set slices to at "
            f"least {reels * splits}"
        )
    each, more = divmod(settings.slices, reels)
    return [each + (number < more) for number in range(reels)]


def _reel(name: str, slices: int, settings: Excitation) -> Reel:
    outer, click, inner, guard = _margins(settings)
    position = outer + click + inner
    blocks: list[Block] = []
    for split, count in apportion_slices(slices, settings.split.shares).items():
        start = blocks[-1].stop + guard if blocks else position
        stop = start + count * slice_hop(settings) + settings.crossfade_samples
        blocks.append(Block(split, start, stop, count))
    stop = blocks[-1].stop
    frames = stop + inner + click + outer
    return Reel(name, frames, (outer, stop + inner), click, (position, stop), tuple(blocks))
