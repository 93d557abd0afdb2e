"""A recorded reel is precious: it is never made again with other bytes, whatever is edited."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from twinlib.contracts import EXCITATION
from twinlib.errors import ExcitationError, TwinError
from twinlib.excitation.layout import probe_name, reel_names
from twinlib.excitation.settings import Excitation
from twinlib.files import read_json, sha256_file


def recorded_settings(results: Path, name: str, patterns: Iterable[str]) -> Excitation | None:
    """The settings of an excitation whose reels somebody has recorded; None if nobody has.

    The evidence is what lies in `results`, so that no edit of the configuration hides it: a `take.json` of a real take
    of one of the reels. Besides, a take that waits where one of `patterns` (with `{reel}` in it) wants it.
    """
    settings = _planned(results / "excitations" / name)
    if settings is None:
        return None
    reels = [*reel_names(name, settings), probe_name(name)]
    waiting = any(Path(pattern.replace("{reel}", reel)).is_file() for pattern in patterns for reel in reels)
    if waiting or any(True for reel in reels for _ in _takes(reel, results / "devices")):
        return settings
    return None


def _planned(folder: Path) -> Excitation | None:
    """The settings that an excitation was planned with, by its file, or by the record of its cue sheet."""
    try:
        return Excitation.model_validate(read_json(folder / "excitation.json", EXCITATION)["settings"])
    except (TwinError, KeyError, TypeError, ValidationError):
        pass
    try:
        record = read_json(folder / "cues.parquet.prov.json", "record/1")
        return Excitation.model_validate_json(record["params"]["settings"])
    except (TwinError, KeyError, TypeError, ValidationError):
        return None


def changed_settings(recorded: Excitation, now: Excitation) -> list[str]:
    """The settings in which an excitation differs from the one that was recorded, as `seed: 1 -> 2`; sorted by name."""
    before, after = _flat(recorded.planned), _flat(now.planned)
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
    for take in _takes(reel, devices):
        if take.get("dry_sha256") not in (None, digest):
            raise ExcitationError(
                f"the reel {reel} was recorded ({take.get('path')}), and what would be made now has other bytes: the "
                f"corpus or the program has changed since. The old reel has the sha256 {take.get('dry_sha256')}: put "
                "it back from a copy, or check out the commit named in its record; for new reels use a new excitation"
            )


def refuse_other_cues(cues: Path, devices: Path) -> None:
    """Raise `ExcitationError` if a reel that a real take was recorded from was rendered from another cue sheet.

    `cues` is the new cue sheet; the records of the reels beside it say which one they were rendered from.
    """
    digest = sha256_file(cues)
    for path in sorted((cues.parent / "reels").glob("*.wav.prov.json")):
        reel = path.name.removesuffix(".wav.prov.json")
        try:
            inputs = read_json(path, "record/1")["inputs"]
        except (TwinError, KeyError):
            continue
        sums = [digest_then for name, digest_then in inputs.items() if name.endswith("/cues.parquet")]
        if sums and sums != [digest] and any(True for _ in _takes(reel, devices)):
            raise ExcitationError(
                f"the reel {reel} was recorded, and the cue sheet that would be made now is not the one that it was "
                f"rendered from (sha256 {sums[0]}): put that one back from a copy, or use a new excitation"
            )


def _takes(reel: str, devices: Path) -> Iterator[dict[str, Any]]:
    """What is known of the real takes of a reel; simulated ones are made again with their reel."""
    for path in sorted(devices.glob(f"*/{reel}/take.json")):
        try:
            take = read_json(path, "take/1")
        except TwinError:
            continue
        if take.get("kind") == "take":
            yield take


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat
