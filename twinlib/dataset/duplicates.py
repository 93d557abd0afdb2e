"""Detection of recordings that are in two splits under two names, by matching audio fingerprints.

Equal codes of two tracks vote for the time offset between the tracks. Copies vote for a single offset in all their
slices. Chance matches scatter over all possible offsets; this scatter determines the significance of the votes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, gammaln, pdtrc

STEP_SECONDS = 0.005
"""Codes are computed at multiples of this time on the clock of the source, independent of the slice."""

BANDS = 25
"""The number of frequency bands, one more than the bits of a code."""

WEAK = 2
"""The number of weak bits of a code, those with the smallest change."""


MAX_CHANCE = 1e-5
"""Largest expected number of chance matches, in the whole comparison, at which a match is reported.

Matches of rhythmic music cluster at some offsets: different music with the same tempo reached 1e-2, copies 1e-50.
"""

MAX_COINCIDENCES = 1_000_000
"""Maximum number of pairs of equal codes per pair of splits; the most common codes are dropped first."""

CLUSTER_GAP = 20
"""Steps without a vote that separate two clusters of votes: codes at this distance have no samples in common."""

MIN_CONTINUATION = 0.5
"""Lower limit of the estimated probability that a chance cluster has another vote."""

MIN_VOTES = 3

_PART_BITS = 4
"""Rows are sorted in 16 parts, by the first bits of their codes: the temporary memory is that of one part."""

_PIECE = 1 << 17
"""Coincidences that are judged together. A pair of parties is never divided."""

Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Match:
    """Two parties that contain the same recording, as indices of the input.

    `votes` is the number of frames that agree on the offset, `offset_seconds` the offset (time in the first party minus
    time in the second one), `chance` the expected number of such chance matches in the whole comparison, and `rows` a
    voting row of each party.
    """

    parties: tuple[int, int]
    votes: int
    offset_seconds: float
    chance: float
    rows: tuple[int, int]


def match_fingerprints(
    party: Ints, group: Ints, side: Ints, frame: Ints, code: Ints, weak: Ints
) -> tuple[list[Match], int]:
    """Return matches between parties of different sides, most certain first, and the number of possible offsets.

    All arrays are `(rows,)`. A row is a code at a `frame` of a `party` (the part of a track in one split), which is on
    one `side` (the split). Parties of one `group` (the track) are not compared. `weak` masks the uncertain bits of the
    code. Beyond the arrays and an index of the rows in 32 bits, the memory depends on `MAX_COINCIDENCES` alone.
    """
    rows = _distinct_rows(code, party, frame)
    row_sides = side[rows]
    parties = int(party.max(initial=-1)) + 1
    low, high = np.full(parties, np.iinfo(np.int64).max), np.full(parties, -1)
    np.minimum.at(low, party, frame)
    np.maximum.at(high, party, frame)
    span = np.where(high >= 0, high - low + 1, 0)
    party_sides = np.full(parties, -1)
    party_sides[party] = side
    pairs_of_sides = list(combinations(np.flatnonzero(np.bincount(side)).tolist(), 2))
    possible = 0
    for sides in pairs_of_sides:
        first_spans, second_spans = (span[party_sides == one] for one in sides)
        possible += int(first_spans.sum() * len(second_spans) + second_spans.sum() * len(first_spans))
    matches = []
    for first, second in pairs_of_sides:
        a, b = _coincidences(rows[row_sides == first], rows[row_sides == second], code, weak)
        differ = group[a] != group[b]
        a, b = a[differ], b[differ]
        pair = party[a].astype(np.int64) * parties + party[b]
        for piece in _pieces(pair):
            pairs, offset, frames = pair[piece], frame[a[piece]] - frame[b[piece]], frame[a[piece]]
            for key, votes, mean_offset, chance, at in _significant_matches(pairs, offset, frames, span, possible):
                offset_seconds = round(mean_offset * STEP_SECONDS, 4)
                voters = int(a[piece[at]]), int(b[piece[at]])
                matches.append(Match(divmod(key, parties), votes, offset_seconds, chance, voters))
    return sorted(matches, key=lambda match: (match.chance, -match.votes, match.parties)), possible


def _distinct_rows(code: Ints, party: Ints, frame: Ints) -> Ints:
    """Return the result of `_distinct` for these columns, as integers of 32 bits."""
    found = [np.empty(0, np.int32)]
    for part in range(1 << _PART_BITS):
        rows = np.flatnonzero(code >> (BANDS - 1 - _PART_BITS) == part)
        found.append(rows[_distinct(code[rows], party[rows], frame[rows])].astype(np.int32))
    return np.concatenate(found)


def _pieces(pair: Ints) -> Iterator[Ints]:
    """Yield the indices of the coincidences, some pairs at once; those of a pair are together and in order."""
    order = np.argsort(pair, kind="stable")
    ordered = pair[order]
    borders = [int(np.searchsorted(ordered, ordered[at])) for at in range(0, len(pair), _PIECE)]
    for start, stop in pairwise([*dict.fromkeys(borders), len(pair)]):
        yield order[start:stop]


def _distinct(*columns: Ints) -> Ints:
    """Return the indices of the distinct rows, sorted by the columns; the first of equal rows."""
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


def _coincidences(first: Ints, second: Ints, code: Ints, weak: Ints) -> tuple[Ints, Ints]:
    """Return all pairs of a row of `first` and a row of `second` with equal codes.

    The weak bits of the smaller set may differ. Both sets are sorted by `code`.
    """
    if len(first) < len(second):
        b, a = _coincidences(second, first, code, weak)
        return a, b
    known, wanted, mask = code[first], code[second], weak[second]
    is_known = np.zeros(1 << (BANDS - 1), bool)
    is_known[known] = True
    flipped, rows, codes = np.zeros_like(mask), [], []
    for _ in range(1 << WEAK):
        hit = np.flatnonzero(is_known[wanted ^ flipped])
        rows.append(hit)
        codes.append((wanted ^ flipped)[hit])
        # The next subset of the bits of the mask.
        flipped = (flipped - mask) & mask
    queries, row = np.concatenate(codes), np.concatenate(rows)
    start = np.searchsorted(known, queries, side="left")
    count = np.searchsorted(known, queries, side="right") - start
    if count.sum() > MAX_COINCIDENCES:
        ordered = np.sort(count)
        limit = ordered[np.searchsorted(np.cumsum(ordered), MAX_COINCIDENCES)]
        count = np.where(count < limit, count, 0)
    index = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(start, count)
    return first[index], np.repeat(second[row], count)


def _significant_matches(
    pair: Ints, offset: Ints, frame: Ints, span: Ints, possible: int
) -> Iterator[tuple[int, int, float, float, int]]:
    """Yield the best significant offset of every pair: pair, votes, mean offset, chance and the index of a vote.

    Votes for one offset may fall into two adjacent steps, so votes are counted in cells of two steps, in both
    alignments. Chance clusters at an offset are a Poisson process with the rate at all other offsets (plus one cluster,
    in case they have none). Each cluster grows by further votes with the probability estimated at these offsets. The
    number of votes then has a Polya-Aeppli distribution (N. Johnson, A. Kemp, S. Kotz: *Univariate Discrete
    Distributions*, 9.6).
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
        new_cluster = new_cell | np.append(True, frames[1:] - frames[:-1] > CLUSTER_GAP)
        cell_starts, pair_starts = np.flatnonzero(new_cell), np.flatnonzero(new_pair)
        votes = np.diff(np.append(cell_starts, len(order)))
        clusters = np.add.reduceat(new_cluster.astype(np.int64), cell_starts)
        cell_pairs = np.cumsum(new_pair)[cell_starts] - 1
        other_votes = np.diff(np.append(pair_starts, len(order)))[cell_pairs] - votes
        other_clusters = np.add.reduceat(new_cluster.astype(np.int64), pair_starts)[cell_pairs] - clusters
        chosen = np.flatnonzero(votes >= MIN_VOTES)
        cell_starts, votes, clusters = cell_starts[chosen], votes[chosen], clusters[chosen]
        other_votes, other_clusters = other_votes[chosen], other_clusters[chosen]
        first, second = np.divmod(pairs[cell_starts], len(span))
        rate = (other_clusters + 1) / np.maximum(1.0, (span[first] + span[second]) / 2)
        continuation = np.maximum(MIN_CONTINUATION, (other_votes - other_clusters) / np.maximum(1, other_votes))
        # Each division of the votes into clusters is another comparison.
        comparisons = possible * votes
        bound = comparisons * _tail_lower_bound(clusters, votes, rate, continuation)
        for k in np.flatnonzero(bound < MAX_CHANCE).tolist():
            chance = comparisons[k] * _tail(int(clusters[k]), int(votes[k]), float(rate[k]), float(continuation[k]))
            if chance < MAX_CHANCE:
                voters, key = order[cell_starts[k] : cell_starts[k] + votes[k]], int(pairs[cell_starts[k]])
                mean_offset = float(offset[voters].mean())
                entry = (float(chance), -int(votes[k]), int(cells[cell_starts[k]]), mean_offset, int(voters[0]))
                best[key] = min(best.get(key, entry), entry)
    for key, (chance, negative_votes, _, mean_offset, at) in best.items():
        yield key, -negative_votes, mean_offset, chance, at


def _tail_lower_bound(
    clusters: Ints, votes: Ints, rate: npt.NDArray[np.float64], continuation: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the term of `_tail` for exactly `clusters` clusters, for many cells at once."""
    exactly = np.exp(clusters * np.log(rate) - rate - gammaln(clusters + 1.0))
    bound: npt.NDArray[np.float64] = exactly * bdtr(clusters - 1.0, votes - 1, 1 - continuation)
    return bound


def _tail(clusters: int, votes: int, rate: float, continuation: float) -> float:
    """Return the Polya-Aeppli probability of at least `clusters` clusters with at least `votes` votes."""
    number = np.arange(1, votes + 1)
    weights = np.exp(number * np.log(rate) - rate - gammaln(number + 1.0))
    enough = bdtr(number - 1, votes - 1, 1 - continuation)
    # More clusters than `votes` certainly have enough votes.
    return float((weights * enough)[clusters - 1 :].sum() + pdtrc(votes, rate))
