"""Options of the programs of the stages."""

from pathlib import Path

import pytest

from twinlib.cli_runtime import options


def test_names_may_start_with_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--dry", "-dry.wav", "--shards", "a", "--b.arrow", "-h", "--gain", "-3", "--out", "x"]
    monkeypatch.setattr("sys.argv", ["program", *words])
    found = options("Test.", dry=Path, shards=[Path], gain=int, out=Path)
    assert (found.dry, found.shards) == (Path("-dry.wav"), [Path("a"), Path("--b.arrow"), Path("-h")])
    assert (found.gain, found.out) == (-3, Path("x"))


def test_a_missing_option_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["program", "--dry", "a"])
    with pytest.raises(SystemExit) as caught:
        options("Test.", dry=Path, wet=Path)
    assert caught.value.code == 2
