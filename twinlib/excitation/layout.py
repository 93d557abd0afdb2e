"""Layout of the reels of an excitation, computed from the settings alone.

A reel is silence, click, short silence, programme, short silence, click, silence. The programme has one block of slices
per split, in the order train, valid, test, separated by digital silence. The witness, with the same silence around it,
comes before the first block, after the last one, and between slices; it divides the blocks there.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twinlib.audio import Reader
from twinlib.contracts import EXCITATION, PROBE, PROBE_FILE, SplitName
from twinlib.errors import ExcitationError
from twinlib.excitation.settings import Excitation
from twinlib.excitation.sync_click import CLICK_SECONDS, make_click
from twinlib.excitation.witness import witness_cuts, witness_frames
from twinlib.files import read_json
from twinlib.intervals import Range

OUTER_SECONDS = 1.2
"""Silence before the first and after the last click; sound cards can lose the start of a stream."""

INNER_SECONDS = 0.3
"""Silence between a click and the programme, in which the device settles."""

CLICK_TOLERANCE = 1e-4
"""Largest error of a click in a file of 16 bits with dither."""


@dataclass(frozen=True)
class Block:
    """Consecutive slices of one split, [start, stop) in samples on the reel."""

    split: SplitName
    start: int
    stop: int
    slices: int


@dataclass(frozen=True)
class Reel:
    """Layout of one reel in samples: length, starts of both clicks, programme, blocks, and repeats of the witness."""

    name: str
    frames: int
    clicks: tuple[int, int]
    click_frames: int
    programme: tuple[int, int]
    blocks: tuple[Block, ...]
    witness: tuple[Range, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of the reel in `excitation.json`, without its name."""
        return {
            "frames": self.frames,
            "clicks": list(self.clicks),
            "click_frames": self.click_frames,
            "programme": list(self.programme),
            "blocks": [asdict(block) for block in self.blocks],
            # Absent from reels without a witness, as in older versions.
            **({"witness": [list(span) for span in self.witness]} if self.witness else {}),
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


def is_reel(path: Path) -> bool:
    """Whether a sound file begins as every reel does, with digital silence and a click; so do its lossless copies."""
    with Reader(path) as reader:
        rate, frames = reader.info.sample_rate, reader.info.frames
        outer, length = math.ceil(OUTER_SECONDS * rate), round(CLICK_SECONDS * rate)
        if not length or frames < outer + length:
            return False
        head = reader.read(0, outer + length)[:, 0]
    return not head[:outer].any() and float(np.abs(head[outer:] - make_click(rate)).max()) < CLICK_TOLERANCE


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
    splits = len(settings.split.shares)
    limit = math.floor(settings.reel_minutes * 60 * settings.sample_rate)
    most = limit // slice_hop(settings)
    room = bisect_right(range(splits, most + 1), limit, key=lambda count: _max_frames(count, settings)) + splits - 1
    if room < splits:
        needed = _max_frames(splits, settings) / settings.sample_rate / 60
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


def _max_frames(slices: int, settings: Excitation) -> int:
    """Return the length of a reel in samples if no cut for the witness is a border of a split."""
    outer, click, inner, guard = _margins(settings)
    gaps, cuts = len(settings.split.shares) - 1, len(_cuts(slices, settings))
    blocks = gaps + 1 + max(0, cuts - 2)
    repeats = cuts * witness_frames(settings.sample_rate) + max(0, 2 * cuts - 2) * guard
    fixed = 2 * (outer + click + inner) + gaps * guard + repeats
    return fixed + slices * slice_hop(settings) + blocks * settings.crossfade_samples


def _cuts(slices: int, settings: Excitation) -> list[int]:
    """Return the numbers of the slices before which the witness is played."""
    return witness_cuts(slices, slices * slice_hop(settings) / settings.sample_rate) if settings.witness else []


def _reel(name: str, slices: int, settings: Excitation) -> Reel:
    outer, click, inner, guard = _margins(settings)
    excerpt, cuts = witness_frames(settings.sample_rate), _cuts(slices, settings)
    start = position = outer + click + inner
    counts = apportion_slices(slices, settings.split.shares)
    split_by_slice = [split for split, count in counts.items() for _ in range(count)]
    borders = [number for number in range(1, slices) if split_by_slice[number] != split_by_slice[number - 1]]
    edges = sorted({0, *borders, *cuts, slices})
    blocks: list[Block] = []
    witness: list[Range] = []
    for number, following in zip(edges, [*edges[1:], slices], strict=True):
        position += guard if number else 0
        if number in cuts:
            witness.append((position, position + excerpt))
            position += excerpt + (guard if number < slices else 0)
        if number < slices:
            count = following - number
            stop = position + count * slice_hop(settings) + settings.crossfade_samples
            blocks.append(Block(split_by_slice[number], position, stop, count))
            position = stop
    stop = witness[-1][1] if cuts else blocks[-1].stop
    frames = stop + inner + click + outer
    return Reel(name, frames, (outer, stop + inner), click, (start, stop), tuple(blocks), tuple(witness))
