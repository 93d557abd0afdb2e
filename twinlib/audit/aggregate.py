"""Counts over list columns of the segment table, computed in Arrow: the lists never become Python objects."""

from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

Counts = dict[str, dict[str, int]]
"""Number of segments by value and split."""


def usable(segments: pa.Table) -> pa.Table:
    """Return the rows that belong to a split."""
    return segments.filter(pc.not_equal(segments["split"], ""))


def count_by_split(splits: pa.ChunkedArray, lists: pa.ChunkedArray) -> Counts:
    """Count each value of a list column by the split of its row; sorted by value. An empty list counts as ""."""
    flat = lists.combine_chunks()
    pairs = pa.table({"split": splits.take(pc.list_parent_indices(flat)), "value": pc.list_flatten(flat)})
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for row in pairs.group_by(["value", "split"]).aggregate([([], "count_all")]).to_pylist():
        counts[row["value"]][row["split"]] = row["count_all"]
    for row in pc.value_counts(splits.filter(pc.equal(pc.list_value_length(flat), 0))).to_pylist():
        counts[""][row["values"]] = row["counts"]
    return {value: counts[value] for value in sorted(counts)}
