"""Reading text, JSON and YAML that anyone may have written or damaged: plain values, or one reason why not.

The readers raise only `OSError` and `ValueError`, whose messages continue "the file is not readable: ". No input
crashes the interpreter, waits for a pipe, or needs more than some times its size in memory.
"""

import json
import math
import re
import stat
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from twinlib.errors import TwinError

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML was installed without libyaml
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

MAX_TEXT = 1 << 26
"""Largest text file in bytes."""

MAX_DEPTH = 100
"""Deepest nesting of lists and mappings."""

MAX_VALUES = 5_000_000
"""Largest number of values, each counted as often as an alias repeats it."""

_MAX_MERGED = 10_000
"""Largest number of keys that the merge keys (`<<`) of a YAML mapping add."""

_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def require_file(path: Path) -> None:
    """Raise `OSError` unless the path, or the target of its link, is a regular file: a pipe could wait forever."""
    mode = path.stat().st_mode
    for is_kind, kind in _SPECIAL:
        if is_kind(mode):
            raise OSError(0, f"it is {kind}, not a file", str(path))


def read_text(path: Path, limit: int = MAX_TEXT) -> str:
    """Return the UTF-8 text of a regular file of at most `limit` bytes, without a byte order mark.

    Raises `OSError` if it is missing or special, `ValueError` if it is too large or not UTF-8.
    """
    require_file(path)
    with path.open("rb") as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise ValueError(f"it is larger than {limit >> 20} MiB")
    return content.decode("utf-8-sig")


def parse_json(text: str | bytes) -> Any:
    """Return the values of JSON text.

    Raises `ValueError` for syntax errors, values that are not plain (`check_plain`), NaN and infinite numbers.
    """
    try:
        content = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    check_plain(content)
    return content


def parse_yaml(text: str) -> Any:
    """Return the values of YAML text, with scalars as a musician writes them: `12:30`, `on`, `010` and dates stay text.

    Keys of mappings are always text. Raises `ValueError` for syntax errors and values that are not plain.
    """
    try:
        # libyaml's loader recurses on the C stack, its parser does not.
        _check_depth(text)
        content = yaml.load(text, _TextLoader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError) as error:
        # Explicit tags, such as `!!bool 7`, raise anything.
        raise ValueError(f"a value does not fit its tag: {type(error).__name__}: {error}") from None
    check_plain(content)
    return content


def read_yaml(path: Path) -> Any:
    """Read a YAML file with `parse_yaml`. Raises `FileNotFoundError`, and `TwinError` if it is not readable YAML."""
    try:
        return parse_yaml(read_text(path))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise TwinError(f"{path} is not readable YAML: {describe_error(error)}") from None


def describe_error(error: Exception) -> str:
    """Return the message of an error without the name of the file."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def check_plain(content: Any) -> None:
    """Raise `ValueError` unless all values are None, bool, 64-bit int, float, text of valid Unicode, list or dict.

    Lists and dicts are nested at most `MAX_DEPTH` deep, so that a value never contains itself, with at most
    `MAX_VALUES` values.
    """
    count, waiting = 0, [(content, 0)]
    while waiting:
        value, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
        if count > MAX_VALUES:
            raise ValueError(f"it holds more than {MAX_VALUES} values")
        if isinstance(value, dict):
            waiting.extend((item, depth + 1) for pair in value.items() for item in pair)
        elif isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)
        elif isinstance(value, str):
            if not value.isascii():
                _check_unicode(value)
        elif isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise ValueError(f"it holds an integer of {value.bit_length()} bits; at most 64 are allowed")
        elif value is not None and not isinstance(value, float):
            raise ValueError(f"it holds a value of the type {type(value).__name__}")


def _check_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"it holds half of a surrogate pair: {text[:60]!a}") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


class _TextLoader(_SafeLoader):
    """YAML 1.2 scalars: `12:30`, `on`, `010` and dates are text, not 750, true, 8 and a date; keys are always text."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[1] in ("null", "merge")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        self.flatten_mapping(node)
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        written = len(node.value)
        super().flatten_mapping(node)
        # Nested merge keys double the number of keys at every level.
        if len(node.value) > written + _MAX_MERGED:
            raise ValueError(f"merge keys add more than {_MAX_MERGED} keys")


for _type, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "[-+]?(0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?((0|[1-9][0-9_]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", "-+0123456789."),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    _TextLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_type}", re.compile(rf"({_pattern})\Z"), list(_first))


def _check_depth(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, _SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
