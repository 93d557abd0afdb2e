"""Facts about the dataset of a device, for its datasheet and for catalogues."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from twinlib.audit.results_folder import ResultsFolder, Track
from twinlib.contracts import SPLITS

MIN_ARTISTS = 10
"""With fewer artists, a single artist can dominate the errors of a twin."""

GENERATED = "generated (sweeps, tones)"
"""What stands for the genre of signals that this program generates."""

MAX_LEFT_OUT = 0.05
"""A larger share of excluded recording time is listed as a limitation."""


@dataclass(frozen=True)
class Capture:
    """A dry/wet pair of files: its take (`take/1`), its alignment (`alignment/2`) and the excitation of its reel."""

    name: str
    take: Mapping[str, Any]
    alignment: Mapping[str, Any]
    excitation: str | None
    takes: tuple[Mapping[str, Any], ...]
    """All takes of the capture, oldest first; empty without a history."""

    @property
    def kind(self) -> str:
        """`take`, `simulated` or `pair`."""
        return str(self.take.get("kind", "simulated" if self.take["simulated"] else "take"))


@dataclass(frozen=True)
class Device:
    """The dataset of a device: `dataset/1`, `leaks/1` if available, captures, and excitations (`excitation/1`) by name.

    `music` is its entry of `twinlib.audit.licences.licences`.
    """

    name: str
    dataset: Mapping[str, Any]
    leaks: Mapping[str, Any] | None
    captures: tuple[Capture, ...]
    excitations: Mapping[str, Mapping[str, Any]]
    music: Mapping[str, Any]

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The distinct knob settings of the device, in the order of the captures."""
        distinct: list[dict[str, Any]] = []
        for capture in self.captures:
            knobs = dict(sorted(capture.take["settings"].items()))
            if knobs not in distinct:
                distinct.append(knobs)
        return distinct

    @property
    def genres(self) -> dict[str, dict[str, float]]:
        """Hours by genre and split; a segment counts for each of its tracks. A track without genre counts as "".

        Sweeps and tones count as `GENERATED`.
        """
        genres: dict[str, dict[str, float]] = {}
        amounts = [(track["genre"], track) for track in self.music["by_track"]]
        amounts += [(GENERATED, amount) for amount in self.music["generated"].values()]
        for genre, content in amounts:
            hours = genres.setdefault(genre, {})
            for split, amount in content["hours_by_split"].items():
                hours[split] = round(hours.get(split, 0.0) + amount, 6)
        return dict(sorted(genres.items()))

    @property
    def left_out(self) -> float:
        """The excluded share of the recorded time."""
        excluded = self.dataset["excluded"]["all"]["seconds"]
        used = sum(amount["seconds"] for amount in self.dataset["splits"].values())
        return float(excluded / max(excluded + used, 1e-9))


def device_facts(results: ResultsFolder, device: str, music: Mapping[str, Any]) -> Device:
    """Collect the facts about a device; `music` as in `Device`. Raises `TwinError` for missing or damaged files."""
    dataset = results.dataset(device)
    captures = tuple(
        Capture(
            name,
            results.take(device, name),
            results.alignment(device, name),
            results.excitation_of(device, name),
            tuple(results.take_history(device, name)),
        )
        for name in dataset["captures"]
    )
    excitations = sorted({capture.excitation for capture in captures if capture.excitation})
    return Device(
        name=device,
        dataset=dataset,
        leaks=results.leak_report(device),
        captures=captures,
        excitations={name: results.excitation(name) for name in excitations},
        music=music,
    )


def excluded_tracks(results: ResultsFolder) -> list[tuple[Track, str]]:
    """Return the tracks that the corpus excludes, with the reasons."""
    index = results.corpus_index
    return [(results.track(one["track_id"]), one["reason"]) for one in index["excluded"]] if index else []


def find_limitations(device: Device) -> list[str]:
    """Return the limitations of a dataset, and of twins trained on it, as sentences derived from its files."""
    dataset = device.dataset
    sentences = [*_recording_limitations(dataset), *_verdict_limitations(dataset)]
    if device.left_out > MAX_LEFT_OUT:
        sentences.append(f"{device.left_out:.0%} of the recorded time is excluded.")
    if len(device.settings) == 1:
        sentences.append(f"The device was captured at one setting only ({format_knobs(device.settings[0])}).")
    for name, excitation in device.excitations.items():
        low, high = excitation["settings"]["level_db"]
        sentences.append(
            f"Slices of {name} were played at {low:g} to {high:g} dB relative to their source level; the response to "
            "higher levels is unknown."
        )
        if excitation["settings"]["split"]["by"] != "artist":
            sentences.append(f"{name} is split by track: splits can share artists, which makes errors look smaller.")
    if device.music["files_without_licence"]:
        sentences.append("Some dry files belong to no known track: music, artist and licence are not recorded.")
    if 0 < device.music["artists"] < MIN_ARTISTS:
        sentences.append(f"The music is by only {device.music['artists']} artists.")
    if not device.leaks or device.leaks["checked"]["segments"] != _split_counts(dataset):
        sentences.append("The leak check has not run on this dataset, so the splits may share material.")
    return sentences + [f"Licences: {question}." for question in device.music["questions"]]


def _recording_limitations(dataset: Mapping[str, Any]) -> list[str]:
    sentences = []
    if dataset["simulated"]:
        recorded = [name for name, capture in dataset["captures"].items() if not capture["simulated"]]
        what = f"Only {', '.join(recorded)} used hardware" if recorded else "No hardware was recorded"
        sentences.append(f"{what}: a simulated circuit replaces the device.")
    if dataset["missing_captures"]:
        sentences.append(f"Captures in the configuration are missing: {', '.join(dataset['missing_captures'])}.")
    return sentences


def _verdict_limitations(dataset: Mapping[str, Any]) -> list[str]:
    return [
        f"The {part} of {name} is {capture[f'{part}_verdict']}: "
        f"{' '.join(capture[f'{part}_reasons']).removesuffix('.') or 'no reason is given'}."
        for name, capture in dataset["captures"].items()
        for part in ("take", "alignment")
        if capture[f"{part}_verdict"] != "ok"
    ]


def _split_counts(dataset: Mapping[str, Any]) -> dict[str, int]:
    return {name: amount["segments"] for name, amount in dataset["splits"].items() if amount["segments"]}


def format_knobs(settings: Mapping[str, Any]) -> str:
    """Format knob settings as `drive 0.6, tone 5`."""
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "not specified"


def gain_histogram(results: ResultsFolder, excitation: str) -> dict[str, Any]:
    """Return a histogram of the gains of the slices: `edges` in whole dB, and `counts` by split."""
    cues = results.cues(excitation, ["split", "gain_db"])
    gains = cues["gain_db"].to_numpy()
    low = np.floor(gains.min())
    edges = np.arange(low, max(np.ceil(gains.max()), low + 1) + 1)
    counts = {
        split: np.histogram(cues.filter(pc.equal(cues["split"], split))["gain_db"].to_numpy(), edges)[0].tolist()
        for split in SPLITS
    }
    return {"edges": edges.tolist(), "counts": counts}
