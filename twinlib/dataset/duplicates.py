"""Finds one recording under two names in two splits, by the fingerprints of its slices.

Codes that two tracks have in common vote for the time that lies between them. True copies vote for one time, over all
their slices; chance meetings scatter over all times that are possible, and this scatter is what the votes are held
against.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, gammaln, pdtrc

STEP_SECONDS = 0.005
"""Codes stand at the multiples of this time on the clock of the source, whatever slice they are taken from."""

BANDS = 25
"""One more than a code has bits."""

WEAK = 2
"""Bits of a code that are known to be weak: those whose change is nearest to none."""


ALARM = 1e-5
"""Copies that chance would make less often than this in a whole comparison are told.

Meetings that keep the beat gather at some times; different music of one tempo came down to 1e-2, copies to 1e-50.
"""

MOST_MEETINGS = 1_000_000
"""Meetings of equal codes that are looked at, for each two splits; the codes that are most common go first."""

_GAP = 20
"""Steps without a vote after which the next one is a meeting of its own: codes that far apart share no sample."""

_GOES_ON = 0.5
"""The least odds with which a chance meeting is taken to go on to another vote, whatever the scatter shows."""

_LEAST_VOTES = 3

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Match:
    """Two parties that hold the same recording, as places in the input.

    `votes` is the number of places that agree on the time between them, `offset_seconds` that time (the first one's
    minus the second one's), `chance` how many such agreements chance would make in the whole comparison, and `rows`
    a row of each that voted.
    """

    parties: tuple[int, int]
    votes: int
    offset_seconds: float
    chance: float
    rows: tuple[int, int]


def match_fingerprints(
    party: Ints, group: Ints, side: Ints, frame: Ints, code: Ints, weak: Ints
) -> tuple[list[Match], int]:
    """Copies among parties of different sides, the most certain first, and how many times were possible in all.

    All arrays are `(rows,)`: a row is a code at a `frame` of a `party`, which is of one `side`, such as a track as far
    as it lies in one split. Parties of one `group` are never compared. `weak` has the bits of the code that might as
    well be the other way.
    """
    rows = _distinct(code, party, frame)
    ordered = side[rows]
    parties = int(party.max(initial=-1)) + 1
    low, high = np.full(parties, np.iinfo(np.int64).max), np.full(parties, -1)
    np.minimum.at(low, party, frame)
    np.maximum.at(high, party, frame)
    span = np.where(high >= 0, high - low + 1, 0)
    side_of = np.full(parties, -1)
    side_of[party] = side
    possible, found = 0, []
    meetings = []
    for one, other in combinations(np.flatnonzero(np.bincount(side)).tolist(), 2):
        mine, yours = rows[ordered == one], rows[ordered == other]
        spans = [span[side_of == which] for which in (one, other)]
        possible += int(spans[0].sum() * len(spans[1]) + spans[1].sum() * len(spans[0]))
        a, b = _meet(mine, yours, code, weak)
        differ = group[a] != group[b]
        meetings.append((a[differ], b[differ]))
    for a, b in meetings:
        pair, offset = party[a] * parties + party[b], frame[a] - frame[b]
        for key, votes, middle, chance, at in _significant(pair, offset, frame[a], span, possible):
            first, second = divmod(key, parties)
            place = int(a[at]), int(b[at])
            found.append(Match((first, second), votes, round(middle * STEP_SECONDS, 4), chance, place))
    return sorted(found, key=lambda copy: (copy.chance, -copy.votes, copy.parties)), possible


def _distinct(*columns: Ints) -> Ints:
    """The rows by some columns, the first one first; of those that have all of them in common the first."""
    key, size = np.zeros(len(columns[0]), np.int64), 1
    for column in columns:
        low = int(column.min(initial=0))
        width = int(column.max(initial=0)) - low + 1
        if size * width >= 1 << 63:
            key = np.unique(key, return_inverse=True)[1]
            size = len(key)
        key, size = key * width + (column - low), size * width
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    first: Ints = order[np.append(ordered[:1] == ordered[:1], ordered[1:] != ordered[:-1])]
    return first


def _meet(mine: Ints, yours: Ints, code: Ints, weak: Ints) -> tuple[Ints, Ints]:
    """All couples of one row of `mine` and one of `yours` with equal codes; the weak bits of the fewer rows may differ.

    Both are ordered by `code`.
    """
    if len(mine) < len(yours):
        b, a = _meet(yours, mine, code, weak)
        return a, b
    known, wanted, mask = code[mine], code[yours], weak[yours]
    there = np.zeros(1 << (BANDS - 1), bool)
    there[known] = True
    turned, rows, codes = np.zeros_like(mask), [], []
    for _ in range(1 << WEAK):
        hit = np.flatnonzero(there[wanted ^ turned])
        rows.append(hit)
        codes.append((wanted ^ turned)[hit])
        # The next subset of the bits of the mask.
        turned = (turned - mask) & mask
    asked, row = np.concatenate(codes), np.concatenate(rows)
    fresh = np.flatnonzero(np.append(known[:1] == known[:1], known[1:] != known[:-1]))
    place = np.searchsorted(known[fresh], asked)
    first, count = fresh[place], np.diff(np.append(fresh, len(known)))[place]
    if count.sum() > MOST_MEETINGS:
        ordered = np.sort(count)
        most = ordered[np.searchsorted(np.cumsum(ordered), MOST_MEETINGS)]
        count = np.where(count < most, count, 0)
    into = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    return mine[into], np.repeat(yours[row], count)


def _significant(
    pair: Ints, offset: Ints, frame: Ints, span: Ints, possible: int
) -> Iterator[tuple[int, int, float, float, int]]:
    """The best offset of every pair for which chance does not account: pair, votes, offset, chance, one that voted.

    Votes for an offset may lie in two neighbouring steps, so steps are counted by twos, in both ways to do so. Chance
    meetings at one offset come as a Poisson process of the rate at all other offsets (with one more, for those not
    seen), and each goes on to another vote with the odds that these show: the sum has the law of Pólya and Aeppli
    (N. Johnson, A. Kemp, S. Kotz: *Univariate Discrete Distributions*, 9.6).
    """
    best: dict[int, tuple[float, int, int, float, int]] = {}
    for phase in (0, 1):
        cell = (offset + phase) >> 1
        order = _distinct(pair, cell, frame)
        if not len(order):
            return
        pairs, cells, frames = pair[order], cell[order], frame[order]
        new_pair = np.append(True, pairs[1:] != pairs[:-1])
        new_cell = new_pair | np.append(True, cells[1:] != cells[:-1])
        new_meeting = new_cell | np.append(True, frames[1:] - frames[:-1] > _GAP)
        at_cell, at_pair = np.flatnonzero(new_cell), np.flatnonzero(new_pair)
        votes = np.diff(np.append(at_cell, len(order)))
        meetings = np.add.reduceat(new_meeting.astype(np.int64), at_cell)
        of_pair = np.cumsum(new_pair)[at_cell] - 1
        all_votes = np.diff(np.append(at_pair, len(order)))[of_pair] - votes
        all_meetings = np.add.reduceat(new_meeting.astype(np.int64), at_pair)[of_pair] - meetings
        some = np.flatnonzero(votes >= _LEAST_VOTES)
        at_cell, votes, meetings = at_cell[some], votes[some], meetings[some]
        all_votes, all_meetings = all_votes[some], all_meetings[some]
        first, second = np.divmod(pairs[at_cell], len(span))
        rate = (all_meetings + 1) / np.maximum(1.0, (span[first] + span[second]) / 2)
        goes_on = np.maximum(_GOES_ON, (all_votes - all_meetings) / np.maximum(1, all_votes))
        # As many ways to divide the votes into meetings might have been taken for a sign.
        cases = possible * votes
        for k in np.flatnonzero(cases * _part(meetings, votes, rate, goes_on) < ALARM).tolist():
            chance = cases[k] * _tail(int(meetings[k]), int(votes[k]), float(rate[k]), float(goes_on[k]))
            if chance < ALARM:
                mine, key = order[at_cell[k] : at_cell[k] + votes[k]], int(pairs[at_cell[k]])
                place, middle = int(cells[at_cell[k]]), float(offset[mine].mean())
                entry = (float(chance), -int(votes[k]), place, middle, int(mine[0]))
                best[key] = min(best.get(key, entry), entry)
    for key, (chance, votes_less, _, middle, at) in best.items():
        yield key, -votes_less, middle, chance, at


def _part(
    meetings: Ints, votes: Ints, rate: npt.NDArray[np.float64], goes_on: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """A part of `_tail`, for many cells at once: just so many meetings."""
    just = np.exp(meetings * np.log(rate) - rate - gammaln(meetings + 1.0))
    part: npt.NDArray[np.float64] = just * bdtr(meetings - 1.0, votes - 1, 1 - goes_on)
    return part


def _tail(meetings: int, votes: int, rate: float, goes_on: float) -> float:
    """The odds of at least so many meetings with at least so many votes, by the law of Pólya and Aeppli."""
    number = np.arange(1, votes + 1)
    weights = np.exp(number * np.log(rate) - rate - gammaln(number + 1.0))
    enough = bdtr(number - 1, votes - 1, 1 - goes_on)
    # More meetings than votes have as many votes for certain.
    return float((weights * enough)[meetings - 1 :].sum() + pdtrc(votes, rate))
