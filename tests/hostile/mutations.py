"""Mutations of bytes, text, JSON values and Arrow tables, drawn from a seeded generator."""

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

Generator = np.random.Generator

_EDGES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**63, 2**64 - 1]

TOKENS = (
    "\x1b[2J", "\u202e", "\0", "\r", "\n", "\t", " ", "'", '"', "\\", "{x}", "<results>", "$(id)", "../..", "-rf", "#",
    "|", "&a", "*a", "<<: *a", "!!python/object/apply:os.getcwd []", "!!binary x", "!!timestamp x", "!!bool 7",
    "!!set {a}",
        "? ", ": ", "- ", "---\n", "%YAML 9.9\n", "null", "true", "NaN", "Infinity", "-Infinity", "1e999", "-1", "0x41",
    "9" * 30, "9" * 5000, "1" * 400 + ".5", "[" * 3000, "{" * 3000, "- " * 3000, '{"a":' * 3000, '"\\ud800"', "\ufeff",
    "\u2028", "🎛️", "é" * 300, "a" * 70000,
)  # fmt: skip
"""Text that parsers, shells, terminals and file systems treat in special ways."""


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, -1e308, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 10**400, "", "x",
    "-1", "\ud800", "\x1b[31m", "\0", "../../etc/passwd", "/dev/zero", "a" * 5000, "NaN", [], {}, [None], [[]],
    {"": None},
        {"contract": "record/1"}, ["a"] * 2000, _nested(60), _nested(400), {"a": {"b": {"c": [1, {"d": 2}]}}},
    float("nan"), float("inf"),
)  # fmt: skip
"""Values of wrong types, sizes and depths."""


def mutate_bytes(content: bytes, draw: Generator) -> bytes:
    """Return the bytes with one to four local changes."""
    out = bytearray(content)
    for _ in range(int(draw.integers(1, 5))):
        at = int(draw.integers(0, len(out) + 1))
        # Headers decide most.
        at = at % 64 if draw.random() < 0.4 else at
        span = int(draw.choice([1, 2, 4, 8, 64, 1024]))
        match int(draw.integers(0, 8)):
            case 0:
                if at < len(out):
                    out[at] ^= 1 << int(draw.integers(8))
            case 1:
                out[at : at + span] = draw.bytes(span)
            case 2:
                width, order = int(draw.choice([1, 2, 4, 8])), str(draw.choice(["little", "big"]))
                edge = _EDGES[int(draw.integers(len(_EDGES)))] % (1 << 8 * width)
                out[at : at + width] = edge.to_bytes(width, order)  # type: ignore[arg-type]
            case 3:
                del out[at : at + span]
            case 4:
                out[at:at] = out[at : at + span]
            case 5:
                del out[at:]
            case 6:
                other = int(draw.integers(0, len(out) + 1))
                out[at : at + span] = out[other : other + span]
            case _:
                out[at:at] = b"\0" * span
    return bytes(out)


def mutate_text(content: bytes, draw: Generator) -> bytes:
    """Return the text with one to three hostile tokens, or mutated bytes."""
    if draw.random() < 0.3:
        return mutate_bytes(content, draw)
    text = content.decode()
    for _ in range(int(draw.integers(1, 4))):
        token = TOKENS[int(draw.integers(len(TOKENS)))]
        at, span = int(draw.integers(0, len(text) + 1)), int(draw.choice([0, 0, 1, 8, 40]))
        text = text[:at] + token + text[at + span :]
    return text.encode("utf-8", "surrogatepass")


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


def mutate_values(content: Any, draw: Generator) -> Any:
    """Return JSON values with one or two replaced, removed, renamed or added; the key `contract` stays mostly."""
    out = copy.deepcopy(content)
    for _ in range(int(draw.integers(1, 3))):
        places = [place for place in _places(out) if place != ("contract",) or draw.random() < 0.1]
        *parents, key = places[int(draw.integers(len(places)))] or (None,)
        value = VALUES[int(draw.integers(len(VALUES)))]
        if key is None:
            if draw.random() < 0.9:
                continue
            return value
        place = out
        for name in parents:
            place = place[name]
        match int(draw.integers(0, 4)):
            case 0:
                del place[key]
            case 1 if isinstance(place, dict):
                place[str(value)[:100]] = place.pop(key)
            case _:
                place[key] = copy.deepcopy(value)
    return out


def mutate_json(content: bytes, draw: Generator) -> bytes:
    """Return a JSON text with hostile values, tokens or bytes."""
    if draw.random() < 0.35:
        return mutate_text(content, draw)
    return json.dumps(mutate_values(json.loads(content), draw)).encode()


_COLUMNS: tuple[Callable[[int], pa.Array], ...] = (
    lambda n: pa.nulls(n),
    lambda n: pa.nulls(n, pa.string()),
    lambda n: pa.nulls(n, pa.int64()),
    lambda n: pa.array(["x\x1b[2J"] * n),
    lambda n: pa.array([2**62] * n),
    lambda n: pa.array([-(2**63)] * n),
    lambda n: pa.array([2**64 - 1] * n, pa.uint64()),
    lambda n: pa.array([float("nan")] * n),
    lambda n: pa.array([1e308] * n),
    lambda n: pa.array([True] * n),
    lambda n: pa.array([b"\xff"] * n),
    lambda n: pa.array([[[["x"]]]] * n),
    lambda n: pa.array([[None, "x"]] * n),
    lambda n: pa.array([[]] * n, pa.list_(pa.string())),
    lambda n: pa.array([{"a": 1}] * n),
    lambda n: pa.array([0] * n, pa.timestamp("ns")),
    lambda n: pa.array([10**20] * n, pa.decimal128(38)),
    lambda n: pa.array(["x"] * n).dictionary_encode(),
    lambda n: pa.array([_nested(30)] * n),
    lambda n: _repeated("x" * (1 << 21), 2000 * n)[:n],
    lambda n: pa.ListArray.from_arrays(
        pa.array([*range(0, 2000 * n, 2000), 2000 * n]), _repeated("x" * (1 << 20), 2000 * n)
    ),
)


def _repeated(text: str, count: int) -> pa.Array:
    """The same text in many rows, held once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def mutate_table(table: pa.Table, draw: Generator) -> pa.Table:
    """Return a table with a column of another type, renamed, doubled or dropped, or with rows removed or repeated."""
    at = int(draw.integers(table.num_columns))
    name = table.schema.names[at]
    match int(draw.integers(0, 6)):
        case 0:
            return table.drop_columns([name])
        case 1:
            return table.rename_columns([*table.schema.names[:at], "x\n", *table.schema.names[at + 1 :]])
        case 2:
            return table.append_column(name, table.column(at))
        case 3:
            return table.slice(0, int(draw.integers(0, 2)))
        case 4:
            # One value is missing.
            row = int(draw.integers(table.num_rows))
            values = table.column(at).to_pylist()
            values[row] = None
            return table.set_column(at, name, pa.array(values, table.schema.field(at).type))
        case _:
            make = _COLUMNS[int(draw.integers(len(_COLUMNS)))]
            return table.set_column(at, name, make(table.num_rows))
