"""The lock with hashes agrees with the lock."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def pins(name: str) -> dict[str, str]:
    """Version by normalised name."""
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([A-Za-z0-9_.-]+)==([^ ;]+)", line) for line in lines]
    return {re.sub("[-_.]+", "-", pin[1]).lower(): pin[2] for pin in found if pin}


def test_the_lock_with_hashes_holds_every_pin() -> None:
    locked, hashed = pins("requirements.lock"), pins("requirements-hashed.lock")
    assert {name: hashed.get(name) for name in locked} == locked, "run `make hashes`"


def test_every_entry_has_a_hash() -> None:
    text = (REPOSITORY / "requirements-hashed.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[A-Za-z])", text.split("\n", 1)[1])
    assert len(entries) == len(pins("requirements-hashed.lock")) > 150
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
