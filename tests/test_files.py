"""Atomic writes, and files with contracts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from twinlib.errors import TwinError
from twinlib.files import atomic_path, read_json, read_table, sha256_file, write_json, write_table, write_text


def test_a_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic_path(path) as aside:
            aside.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_carries_its_contract(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json(path, "take/1", {"b": 1, "a": [1.5, None]})
    assert read_json(path, "take/1") == {"b": 1, "a": [1.5, None]}
    with pytest.raises(TwinError, match=r"has the contract take/1, not take/2"):
        read_json(path, "take/2")


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "\x00"])
def test_broken_json_is_reported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(TwinError, match=r"x\.json"):
        read_json(path, "take/1")


def test_nan_is_rejected_in_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(tmp_path / "x.json", "take/1", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_equal_tables_are_equal_bytes(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["b", "a"], "n": [1, 2], "list": [["x"], []]})
    write_table(tmp_path / "1.parquet", "tracks/1", table)
    write_table(tmp_path / "2.parquet", "tracks/1", table.copy())
    assert sha256_file(tmp_path / "1.parquet") == sha256_file(tmp_path / "2.parquet")
    back = read_table(tmp_path / "1.parquet", "tracks/1")
    assert back["id"].tolist() == ["b", "a"]
    assert [list(items) for items in back["list"]] == [["x"], []]


def test_a_flipped_bit_in_a_table_is_reported_or_harmless(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": [f"n{k}" for k in range(200)], "n": range(200), "list": [["x", "y"]] * 200})
    path = tmp_path / "x.parquet"
    write_table(path, "tracks/1", table)
    good, generator = path.read_bytes(), np.random.default_rng(0)
    whole = read_table(path, "tracks/1")
    # The footer has no checksum, so errors in it may pass; its length precedes the last four bytes.
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    refused = 0
    for place in generator.integers(0, len(good), 400):
        content = bytearray(good)
        content[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(content)
        try:
            found = read_table(path, "tracks/1")
        except TwinError:
            refused += 1
        else:
            assert place >= footer or found.equals(whole)
    assert refused > 200


def test_foreign_and_missing_tables_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(TwinError, match="does not exist"):
        read_table(path, "tracks/1")
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(TwinError, match="not a readable table"):
        read_table(path, "tracks/1")
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(TwinError, match="contract none"):
        read_table(path, "tracks/1")
