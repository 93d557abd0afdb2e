"""Text, JSON and YAML of unknown origin: plain values or one reason."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlib.errors import TwinError
from twinlib.parsing import MAX_DEPTH, parse_json, parse_yaml, read_text, read_yaml, require_file

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN)
def test_plain_values_survive_json(content: object) -> None:
    assert parse_json(json.dumps(content)) == content


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[" * 300 + "]" * 300, "more than 100 levels"),
        ("1" + "0" * 30, "integer of 100 bits"),
        ("9" * 5000, "4300 digits"),
        ("1e999", "too large"),
        ("NaN", "no number of JSON"),
        ("[-Infinity]", "no number of JSON"),
        (r'{"a": "\ud800"}', "surrogate"),
        (r'{"\udfff": 1}', "surrogate"),
        ("{", "Expecting property name"),
    ],
)
def test_hostile_json_has_a_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_json(text)


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("tone: 12:30", {"tone": "12:30"}),
        ("on: yes", {"on": "yes"}),
        ("1176: 010", {"1176": "010"}),
        ("a: [1, 0.5, 1e3, true, null, 2026-01-31]", {"a": [1, 0.5, 1000.0, True, None, "2026-01-31"]}),
        ("a: &x {b: 1}\nc: {<<: *x, d: 2}", {"a": {"b": 1}, "c": {"b": 1, "d": 2}}),
    ],
)
def test_scalars_stay_as_written(text: str, content: object) -> None:
    assert parse_yaml(text) == content


def bomb(form: str) -> str:
    """Ten levels, each with ten aliases of the level before."""
    return "a0: &a0 {x: 1}\n" + "".join(
        form.format(n=n, m=n - 1, all=", ".join([f"*a{n - 1}"] * 10)) for n in range(1, 10)
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 200 + "]" * 200, f"more than {MAX_DEPTH} levels"),
        ("- " * 200 + "x", f"more than {MAX_DEPTH} levels"),
        ("&a [*a]", f"more than {MAX_DEPTH} levels"),
        (bomb("a{n}: &a{n} [{all}]\n"), "more than .* values"),
        (bomb("a{n}: &a{n} {{<<: [{all}]}}\n"), "merge keys"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("a: !!bool 7", "does not fit its tag"),
        ("a: !!timestamp x", "does not fit its tag"),
        ("a: !!timestamp 2026-01-31", "type date"),
        ("a: !!binary AAAA", "type bytes"),
        ("a: !!set {b}", "type set"),
        ("a: 99999999999999999999", "integer of 67 bits"),
        ("a: " + "9" * 5000, "4300 digits"),
        ('a: "\\ud800"', "surrogate|escape"),
        ("? [a]\n: b", "unhashable"),
        ("{", "line 2, column 1"),
    ],
)
def test_hostile_yaml_has_a_reason(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_yaml(text)


def test_text_is_limited_and_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xef\xbb\xbfabc")
    assert read_text(path) == "abc"
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="utf-8"):
        read_text(path)
    path.write_bytes(b"a" * ((1 << 20) + 1))
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        read_text(path, 1 << 20)


def test_special_files_are_refused_without_opening(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, kind in ((tmp_path, "a folder"), (tmp_path / "pipe", "a named pipe"), (Path("/dev/zero"), "a device")):
        with pytest.raises(OSError, match=f"it is {kind}, not a file"):
            require_file(path)
    with pytest.raises(TwinError, match=r"link is not readable YAML: it is a named pipe, not a file"):
        read_yaml(tmp_path / "link")
    with pytest.raises(OSError, match="loop"):
        require_file(tmp_path / "loop")
    with pytest.raises(FileNotFoundError):
        read_yaml(tmp_path / "absent")
