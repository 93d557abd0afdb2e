"""How many segments hold what: a hundred thousand lists are counted without becoming Python objects."""

from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

Counts = dict[str, dict[str, int]]
"""How many segments of each split hold a value, by value and split."""


def used(segments: pa.Table) -> pa.Table:
    """The rows that serve a split."""
    return segments.filter(pc.not_equal(segments["split"], ""))


def counted(splits: pa.ChunkedArray, lists: pa.ChunkedArray) -> Counts:
    """How often each value stands in `lists`, a list a row, by value and by the row's split; sorted by value.

    A row whose list is empty counts for the value "".
    """
    flat = lists.combine_chunks()
    named = pa.table({"split": splits.take(pc.list_parent_indices(flat)), "value": pc.list_flatten(flat)})
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row in named.group_by(["value", "split"]).aggregate([([], "count_all")]).to_pylist():
        found[row["value"]][row["split"]] = row["count_all"]
    for row in pc.value_counts(splits.filter(pc.equal(pc.list_value_length(flat), 0))).to_pylist():
        found[""][row["values"]] = row["counts"]
    return {value: found[value] for value in sorted(found)}
