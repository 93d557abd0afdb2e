"""A recorded reel is precious: it is never made again with other bytes, whatever is edited."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twinlib.errors import ExcitationError, TwinError
from twinlib.excitation.settings import Excitation
from twinlib.files import read_json, sha256_file


def changed_settings(recorded: Mapping[str, Any], now: Excitation) -> list[str]:
    """The settings in which an excitation differs from the one that was recorded, as `seed: 1 -> 2`; sorted by name."""
    before = _flat(recorded)
    after = _flat(now.model_dump(mode="json"))
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def refuse_other_bytes(reel: str, made: Path, devices: Path) -> None:
    """Raise `ExcitationError` if a real take was recorded from a reel of this name with other bytes than `made`.

    `devices` holds a folder a device, with `{reel}/take.json` in it; simulated takes are made again with their reel.
    """
    digest = sha256_file(made)
    for path in sorted(devices.glob(f"*/{reel}/take.json")):
        try:
            take = read_json(path, "take/1")
        except TwinError:
            continue
        if take.get("kind") == "take" and take.get("dry_sha256") not in (None, digest):
            raise ExcitationError(
                f"the reel {reel} was recorded ({take.get('path')}), and what would be made now has other bytes: the "
                f"corpus or the program has changed since. The old reel has the sha256 {take.get('dry_sha256')}: put "
                "it back from a copy, or check out the commit named in its record; for new reels use a new excitation"
            )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat
