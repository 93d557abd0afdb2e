"""What a results folder tells of a device's dataset, gathered for the datasheet and for catalogues."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twinlib.audit.lineage import Track, corpus_tracks, excitation_of, known_track
from twinlib.contracts import ALIGNMENT, CUES, DATASET, EXCITATION, INDEX, LEAKS, SPLITS, TAKE
from twinlib.files import read_json
from twinlib.provenance.results import Results, read_arrow
from twinlib.provenance.take_history import FILE as HISTORY
from twinlib.provenance.take_history import read_history

FEW_ARTISTS = 10
"""With fewer, one of them may decide how good a twin seems."""

MUCH_LEFT_OUT = 0.05
"""Of the recorded time: more than this is told as a limit."""


@dataclass(frozen=True)
class Capture:
    """One dry/wet couple: its take (`take/1`) and its alignment (`alignment/2`), and the reel's excitation, if any."""

    name: str
    take: Mapping[str, Any]
    alignment: Mapping[str, Any]
    excitation: str | None
    takes: tuple[Mapping[str, Any], ...]
    """The takes that it has had, the first one first (`read_history`); none if nobody noted them."""

    @property
    def kind(self) -> str:
        """`take`, `simulated` or `pair`."""
        return str(self.take.get("kind", "simulated" if self.take["simulated"] else "take"))


@dataclass(frozen=True)
class Device:
    """A device's dataset: `dataset/1`, `leaks/1` if the stage has run, captures, excitations (`excitation/1`) by name.

    `music` is its part of `twinlib.audit.licences.licences`.
    """

    name: str
    dataset: Mapping[str, Any]
    leaks: Mapping[str, Any] | None
    captures: tuple[Capture, ...]
    excitations: Mapping[str, Mapping[str, Any]]
    music: Mapping[str, Any]

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The different settings of the device's knobs, in the order of the captures."""
        found: list[dict[str, Any]] = []
        for capture in self.captures:
            knobs = dict(sorted(capture.take["settings"].items()))
            if knobs not in found:
                found.append(knobs)
        return found

    @property
    def genres(self) -> dict[str, dict[str, float]]:
        """Hours by genre and split; a segment counts for every track that sounds in it. "" where none is named."""
        found: dict[str, dict[str, float]] = {}
        for track in self.music["by_track"]:
            hours = found.setdefault(track["genre"], {})
            for split, amount in track["hours_by_split"].items():
                hours[split] = round(hours.get(split, 0.0) + amount, 6)
        return dict(sorted(found.items()))

    @property
    def left_out(self) -> float:
        """The share of the recorded time that serves no split."""
        out = self.dataset["excluded"]["all"]["seconds"]
        return float(out / max(out + sum(amount["seconds"] for amount in self.dataset["splits"].values()), 1e-9))


def device_facts(results: Results, device: str, music: Mapping[str, Any]) -> Device:
    """Read what there is of a device; `music` as in `Device`. Raises `TwinError` where a file is missing or damaged."""
    folder = results.folder / "devices" / device
    dataset = read_json(folder / "dataset.json", DATASET)
    captures = tuple(
        Capture(
            name,
            read_json(folder / name / "take.json", TAKE),
            read_json(folder / name / "alignment.json", ALIGNMENT),
            excitation_of(results, device, name),
            tuple(read_history(folder / name / HISTORY)),
        )
        for name in dataset["captures"]
    )
    used = sorted({capture.excitation for capture in captures if capture.excitation})
    return Device(
        name=device,
        dataset=dataset,
        leaks=read_json(folder / "leaks.json", LEAKS) if (folder / "leaks.json").is_file() else None,
        captures=captures,
        excitations={
            name: read_json(results.folder / "excitations" / name / "excitation.json", EXCITATION) for name in used
        },
        music=music,
    )


def tracks_left_out(results: Results) -> list[tuple[Track, str]]:
    """The tracks that the corpus excludes, with the reasons, by their ids."""
    path = results.folder / "corpus" / "index.json"
    if not path.is_file():
        return []
    tracks = corpus_tracks(results)
    left = read_json(path, INDEX)["excluded"]
    return [(known_track(tracks, one["track_id"]), one["reason"]) for one in left]


def limits(device: Device) -> list[str]:
    """What this dataset is not, as sentences that its files bear out; what a twin of it will not know."""
    dataset, said = device.dataset, []
    if dataset["simulated"]:
        real = [name for name, capture in dataset["captures"].items() if not capture["simulated"]]
        what = (
            f"Only {', '.join(real)} {'was' if len(real) == 1 else 'were'} recorded" if real else "Nothing was recorded"
        )
        said.append(f"{what} with hardware: a simulated circuit stands for the device.")
    if dataset["missing_captures"]:
        said.append(f"Captures that the configuration asks for are missing: {', '.join(dataset['missing_captures'])}.")
    for name, capture in dataset["captures"].items():
        for part in ("take", "alignment"):
            if capture[f"{part}_verdict"] != "ok":
                why = "; ".join(capture[f"{part}_reasons"]) or "no reason is given"
                said.append(f"The {part} of {name} is {capture[f'{part}_verdict']}: {why}.")
    if device.left_out > MUCH_LEFT_OUT:
        said.append(f"{device.left_out:.0%} of the recorded time is left out, for the reasons below.")
    settings = device.settings
    if len(settings) == 1:
        said.append(f"The device was captured at one setting ({_knobs(settings[0])}): nothing is known of any other.")
    for name, excitation in device.excitations.items():
        low, high = excitation["settings"]["level_db"]
        said.append(
            f"Slices of {name} were played at {low:g} to {high:g} dB of their recordings' level: nothing is known of "
            "how the device answers to louder ones."
        )
        if excitation["settings"]["split"]["by"] != "artist":
            said.append(f"{name} is split by track: an artist may stand in several splits, and twins seem better.")
    if device.music["files_without_licence"]:
        said.append("Some dry files are nobody's known tracks: their music, artists and licences are not recorded.")
    if 0 < device.music["artists"] < FEW_ARTISTS:
        said.append(f"The music is by {device.music['artists']} artists only.")
    if not device.leaks or device.leaks["checked"]["segments"] != _split_counts(dataset):
        said.append("It is not proved that the splits share nothing: the search for leaks has not run on this dataset.")
    said += [f"Licences: {question}." for question in device.music["questions"]]
    return said


def _split_counts(dataset: Mapping[str, Any]) -> dict[str, int]:
    return {name: amount["segments"] for name, amount in dataset["splits"].items() if amount["segments"]}


def _knobs(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "none is named"


def gains(results: Results, excitation: str) -> dict[str, Any]:
    """How often excerpts were played at which gain: `edges` in whole dB, and by split the counts between them."""
    import numpy as np
    import pyarrow.compute as pc

    cues = read_arrow(results.folder / "excitations" / excitation / "cues.parquet", CUES, ["split", "gain_db"])
    played = cues["gain_db"].to_numpy()
    low = np.floor(played.min())
    edges = np.arange(low, max(np.ceil(played.max()), low + 1) + 1)
    counts = {
        split: np.histogram(cues.filter(pc.equal(cues["split"], split))["gain_db"].to_numpy(), edges)[0].tolist()
        for split in SPLITS
    }
    return {"edges": edges.tolist(), "counts": counts}
