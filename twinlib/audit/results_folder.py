"""Read access to a results folder: stage records, tables and JSON files, each loaded once on first use."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from twinlib.audit.headers import read_twin_header
from twinlib.contracts import ALIGNMENT, CUES, DATASET, EXCITATION, INDEX, LEAKS, PROBE, TAKE, TRACKS
from twinlib.errors import AuditError, TwinError
from twinlib.files import read_json
from twinlib.provenance import FILE, Results, read_arrow, read_history

_EXCITATION = re.compile(r"excitations/([^/]+)/")


@dataclass(frozen=True)
class Track:
    """A track of the corpus index; `licence` as written there."""

    track_id: str
    title: str
    artist: str
    licence: str
    genre: str


class ResultsFolder(Results):
    """The files of a results folder by device, capture, excitation and track.

    Caches tables and JSON files on first use, so that one object serves all questions. The files must not change in
    the meantime. Missing or damaged files raise `TwinError`.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._json: dict[Path, dict[str, Any]] = {}
        self._headers: dict[tuple[str, str], Mapping[str, Any]] = {}

    def _read_json(self, name: str, contract: str) -> dict[str, Any]:
        path = self.folder / name
        if path not in self._json:
            self._json[path] = read_json(path, contract)
        return self._json[path]

    @cached_property
    def tracks(self) -> dict[str, Track]:
        """The tracks of the corpus by id; empty without a corpus, as for devices of pairs."""
        path = self.folder / "corpus" / "tracks.parquet"
        if not path.exists():
            return {}
        table = read_arrow(path, TRACKS, ["track_id", "title", "artist", "licence", "genre"])
        return {row["track_id"]: Track(**row) for row in table.to_pylist()}

    def track(self, track_id: str) -> Track:
        """Return a track of the corpus; for an unknown track all fields but the id are empty."""
        return self.tracks.get(track_id) or Track(track_id, "", "", "", "")

    @property
    def corpus_index(self) -> Mapping[str, Any] | None:
        """The content of `corpus/index.json`, None without a corpus."""
        exists = (self.folder / "corpus" / "index.json").is_file()
        return self._read_json("corpus/index.json", INDEX) if exists else None

    @cached_property
    def excitations(self) -> list[str]:
        """The excitations that have a cue sheet, sorted."""
        return sorted(path.parent.name for path in self.folder.glob("excitations/*/cues.parquet"))

    def cues(self, excitation: str, columns: list[str] | None = None) -> pa.Table:
        """Return the cue sheet of an excitation (`cues/1`), or some of its columns."""
        return read_arrow(self.folder / "excitations" / excitation / "cues.parquet", CUES, columns)

    def excitation(self, name: str) -> Mapping[str, Any]:
        """Return the content of `excitation.json`."""
        return self._read_json(f"excitations/{name}/excitation.json", EXCITATION)

    def probe_reel(self, excitation: str) -> Mapping[str, Any]:
        """Return the content of an excitation's `probe.json`."""
        return self._read_json(f"excitations/{excitation}/probe.json", PROBE)

    @cached_property
    def probe_reels(self) -> list[str]:
        """The excitations that have a probe reel, sorted."""
        return sorted(path.parent.name for path in self.folder.glob("excitations/*/probe.json"))

    def dataset(self, device: str) -> dict[str, Any]:
        """Return the content of a device's `dataset.json`."""
        return self._read_json(f"devices/{device}/dataset.json", DATASET)

    def leak_report(self, device: str) -> Mapping[str, Any] | None:
        """Return the content of a device's `leaks.json`, None if there is none."""
        name = f"devices/{device}/leaks.json"
        return self._read_json(name, LEAKS) if (self.folder / name).is_file() else None

    def take(self, device: str, capture: str) -> dict[str, Any]:
        """Return the content of a capture's `take.json`."""
        return self._read_json(f"devices/{device}/{capture}/take.json", TAKE)

    def alignment(self, device: str, capture: str) -> dict[str, Any]:
        """Return the content of a capture's `alignment.json`."""
        return self._read_json(f"devices/{device}/{capture}/alignment.json", ALIGNMENT)

    def take_history(self, device: str, capture: str) -> list[dict[str, Any]]:
        """Return all takes of a capture, oldest first; empty without a history."""
        return read_history(self.folder / "devices" / device / capture / FILE)

    def excitation_of(self, device: str, capture: str) -> str | None:
        """Return the excitation whose reel a capture recorded, None for a pair."""
        # A take of a probe reel has no shard; a device that waits for more takes has no shards yet.
        for name in (f"{capture}/take.json", f"shards/{capture}.arrow", f"{capture}/measurements.json"):
            stage = self.maker(f"devices/{device}/{name}")
            matches = [_EXCITATION.match(name) for name in stage.inputs] if stage else []
            if names := [match[1] for match in matches if match]:
                return names[0]
        return None

    @cached_property
    def recorded_excitations(self) -> list[str]:
        """The excitations with at least one recorded take, sorted: their reels are immutable."""
        captures = [(path.parts[-3], path.parts[-2]) for path in self.folder.glob("devices/*/*/take.json")]
        recorded = (self.excitation_of(*capture) for capture in captures if self._is_recording(*capture))
        return sorted({name for name in recorded if name})

    def _is_recording(self, device: str, capture: str) -> bool:
        try:
            return bool(self.take(device, capture).get("kind") == "take")
        except TwinError:
            return False

    def twin_header(self, device: str, model: str) -> Mapping[str, Any]:
        """Return the header of a twin, without its weights: among others `dataset` and `provenance`."""
        if (device, model) not in self._headers:
            self._headers[device, model] = read_twin_header(self.twin_folder(device, model) / "twin.safetensors")
        return self._headers[device, model]

    def twin_folder(self, device: str, model: str) -> Path:
        """Return the folder of a twin."""
        return self.folder / "twins" / device / model

    def require_device(self, device: str) -> None:
        """Raise `AuditError` unless the device has a dataset."""
        if device not in self.devices:
            raise AuditError(f"{self.folder} has no device {device}; it has {', '.join(self.devices) or 'none'}")
