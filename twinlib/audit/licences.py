"""Whose music is in a dataset and a twin, under which licences, and what may be done with what was made of it."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow.compute as pc

from twinlib.audit.aggregate import Counts, counted, used
from twinlib.audit.formatting import duration
from twinlib.audit.licence_terms import concluded, terms
from twinlib.audit.lineage import Track, corpus_tracks, known_track
from twinlib.contracts import CUES, DATASET, SPLITS
from twinlib.errors import AuditError, LicenceError
from twinlib.excitation.sweeps import TRACK as SWEEPS
from twinlib.files import read_json
from twinlib.provenance.results import Results, read_arrow

NOTICE = (
    "This is a reading of the names of licences and no legal advice. Whether a trained network is an adaptation of the "
    "music that it learned from is not settled everywhere: here it is taken for one, which is the careful view."
)


@dataclass(frozen=True)
class _Music:
    """What the usable segments of a device hold: `seconds` a segment, and segments by split."""

    seconds: float
    segments: Mapping[str, int]
    tracks: Counts
    licences: Counts
    files: tuple[str, ...]
    """The dry files of segments that hold no track: those of pairs."""


def licences(results: Results, commercial: bool | None = None) -> dict[str, Any]:
    """Hours and tracks by licence of every device, and what the licences allow for its dataset and its twins.

    `devices` holds, by device, hours by licence and track and split: what is usable counts, and a segment in which two
    tracks sound counts for both. `twins` holds the conclusions by `device/model`; `sources` are the devices whose
    music a twin holds, further ones through a warm start. `licences` says what each name means, `changed` which
    licences differ from those that the reels were planned with. With `commercial` given, `refused` lists by twin, as
    sentences, what stands against selling it (True) or passing it on for free (False). Raises `AuditError` if the
    folder cannot answer.
    """
    tracks = corpus_tracks(results)
    music = {device: _music(results, device) for device in results.devices}
    written = {device: _written(held, tracks) for device, held in music.items()}
    twins = {f"{device}/{model}": _twin(results, device, model, written) for device, model in results.twins}
    told: dict[str, Any] = {
        "notice": NOTICE,
        "licences": {
            name: asdict(terms(name)) for name in sorted({name for names in written.values() for name in names})
        },
        "changed": _changed(results, tracks),
        "devices": {
            device: {**_device(held, tracks), **asdict(concluded(written[device]))} for device, held in music.items()
        },
        "twins": twins,
    }
    if commercial is not None:
        reasons = {name: _refusals(twin, commercial) for name, twin in twins.items()}
        told |= {"commercial": commercial, "refused": {name: said for name, said in reasons.items() if said}}
    return told


def refuse_use(found: Mapping[str, Any]) -> None:
    """Raise `LicenceError` if `licences` found something against the use that it was asked about."""
    refused: dict[str, list[str]] = found.get("refused", {})
    if refused:
        use = "sold" if found["commercial"] else "passed on"
        said = "; ".join(f"{name}: {', and '.join(reasons)}" for name, reasons in refused.items())
        raise LicenceError(
            f"{len(refused)} of {len(found['twins'])} twins may not be {use}, by the names of their licences: {said}"
        )


def licences_text(found: Mapping[str, Any]) -> str:
    """What `licences` found, for people."""
    lines: list[str] = []
    for device, content in found["devices"].items():
        lines.append(
            f"{device}: {duration(content['hours'])} of {content['tracks']} tracks by {content['artists']} artists"
        )
        for name, amount in content["by_licence"].items():
            splits = ", ".join(f"{split} {duration(hours)}" for split, hours in amount["hours_by_split"].items())
            lines.append(f"  {name or 'no licence named'}: {duration(amount['hours'])} ({splits}); {_asks(name)}")
        twins = {f"twin {name}": twin for name, twin in found["twins"].items() if twin["device"] == device}
        for name, told in {"its dataset": content, **twins}.items():
            lines += [f"  {name}", *(f"    {line}" for line in _sentences(told))]
    lines += found["changed"]
    for name, reasons in found.get("refused", {}).items():
        lines += [f"refused, {name}: {reason}" for reason in reasons]
    return "\n".join([*lines, "", found["notice"]]) + "\n"


def attribution(results: Results, device: str, model: str | None = None) -> str:
    """The text that names all music in the dataset of a device, or in one of its twins, and what was done to it.

    A paragraph a track, sorted by artist and title: title, artist, licence with its URL where that is known, changes;
    as https://wiki.creativecommons.org/wiki/Recommended_practices_for_attribution asks for. Equal input gives equal
    text. Raises `AuditError` if there is no such device or twin.
    """
    if device not in results.devices:
        raise AuditError(f"{results.folder} has no device {device}; it has {', '.join(results.devices) or 'none'}")
    if model is not None and (device, model) not in results.twins:
        known = ", ".join(name for other, name in results.twins if other == device)
        raise AuditError(f"{results.folder} has no twin {device}/{model}; models of {device}: {known or 'none'}")
    sources, questions = ([device], []) if model is None else _sources(results, device, model)
    tracks = corpus_tracks(results)
    what = f"The dataset of the device {device}" if model is None else f"The twin {device}/{model}"
    paragraphs = [f"{what} was made of excerpts of the following music, mixed and played through {_and(sources)}."]
    held: dict[str, list[str]] = {}
    files: set[str] = set()
    for source in sources:
        music = _music(results, source)
        files.update(music.files)
        # The sine sweeps are this program's own and nobody's music.
        for track_id in filter(None, music.tracks.keys() - {SWEEPS}):
            held.setdefault(track_id, []).append(source)

    def place(track_id: str) -> tuple[str, str, str]:
        track = known_track(tracks, track_id)
        return track.artist.casefold(), track.title.casefold(), track_id

    order = sorted(held, key=place)
    paragraphs += [_credit(known_track(tracks, track_id), held[track_id]) for track_id in order]
    paragraphs += [
        f"{file}: no title, artist or licence is known. Played through {_and(sources)}." for file in sorted(files)
    ]
    paragraphs += [f"Beware: {question}." for question in questions]
    return "\n\n".join(paragraphs) + "\n"


def _credit(track: Track, devices: Iterable[str]) -> str:
    read = terms(track.licence)
    licence = read.name if track.licence else "no licence is known"
    url = f" ({read.url})" if read.url else ""
    by = f" by {track.artist}" if track.artist else ""
    changes = f"Changes: excerpts, mixed and played through {_and(devices)}."
    return f'"{track.title or track.track_id}"{by}, {licence}{url}. {changes}'


def _and(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def _music(results: Results, device: str) -> _Music:
    dataset = read_json(results.folder / "devices" / device / "dataset.json", DATASET)
    segments = used(results.segments(device, ["split", "track_ids", "licences", "sources"]))
    splits, ids = segments["split"], segments["track_ids"]
    untitled = pc.list_flatten(segments.filter(pc.equal(pc.list_value_length(ids), 0))["sources"])
    files = pc.unique(pc.replace_substring_regex(untitled, r"\[\d+:\d+\]$", ""))
    return _Music(
        seconds=dataset["segment_samples"] / dataset["sample_rate"],
        segments={row["values"]: row["counts"] for row in pc.value_counts(splits).to_pylist()},
        tracks=counted(splits, ids),
        licences=counted(splits, segments["licences"]),
        files=tuple(sorted(files.to_pylist())),
    )


def _written(music: _Music, tracks: Mapping[str, Track]) -> list[str]:
    """The licences of the music as they are written: those that its reels were planned with, and those of today."""
    return sorted({*music.licences, *(tracks[name].licence for name in music.tracks if name in tracks)})


def _device(music: _Music, tracks: Mapping[str, Track]) -> dict[str, Any]:
    ids = [track_id for track_id in music.tracks if track_id]
    return {
        **_amount(music, music.segments),
        "tracks": len(ids),
        "artists": len({known_track(tracks, track_id).artist for track_id in ids}),
        "by_licence": {
            name: {
                **_amount(music, counts),
                "tracks": sum(known_track(tracks, track_id).licence == name for track_id in ids),
            }
            for name, counts in music.licences.items()
        },
        "by_track": [
            {**asdict(known_track(tracks, track_id)), **_amount(music, music.tracks[track_id])} for track_id in ids
        ],
        "files_without_licence": list(music.files),
    }


def _amount(music: _Music, counts: Mapping[str, int]) -> dict[str, Any]:
    hours = {split: round(counts.get(split, 0) * music.seconds / 3600, 6) for split in SPLITS}
    total = round(sum(counts.values()) * music.seconds / 3600, 6)
    return {"segments": sum(counts.values()), "hours": total, "hours_by_split": hours}


def _twin(results: Results, device: str, model: str, written: Mapping[str, list[str]]) -> dict[str, Any]:
    sources, questions = _sources(results, device, model)
    told = concluded(name for source in sources for name in written[source])
    if questions:
        told = replace(told, share=told.share and None, commercial=told.commercial and None, fits=None)
    told = replace(told, questions=(*told.questions, *questions))
    return {"device": device, "model": model, "sources": sources, **asdict(told)}


def _sources(results: Results, device: str, model: str) -> tuple[list[str], list[str]]:
    """The devices whose datasets a twin learned from, warm starts included, and what cannot be told, as sentences."""
    devices: list[str] = []
    questions: list[str] = []
    todo, seen = [(device, model)], set()
    made = {sha256: twin for twin in results.twins for sha256 in _sum_of(results, *twin)}
    while todo:
        twin = todo.pop()
        if twin in seen:
            continue
        seen.add(twin)
        name, table = "/".join(twin), f"devices/{twin[0]}/segments.parquet"
        devices += [twin[0]] if twin[0] in results.devices and twin[0] not in devices else []
        stage, tables = results.maker(_file(*twin)), results.maker(table)
        if stage is None:
            questions.append(f"no record says what {name} was trained on: train it again")
            continue
        if tables is None or stage.inputs.get(table) != tables.outputs[table]:
            questions.append(f"{name} was trained on other segments than lie here, whose licences are not known")
        start = stage.content["params"].get("warm_start", "")
        if start in made:
            todo.append(made[start])
        elif start:
            questions.append(f"{name} started from a twin that is not in these results, whose music is not known")
    return sorted(devices), questions


def _file(device: str, model: str) -> str:
    return f"twins/{device}/{model}/twin.safetensors"


def _sum_of(results: Results, device: str, model: str) -> list[str]:
    stage = results.maker(_file(device, model))
    return [stage.outputs[_file(device, model)]] if stage else []


def _changed(results: Results, tracks: Mapping[str, Track]) -> list[str]:
    """The tracks whose licence in the corpus is not the one that their cue sheet was planned with, as sentences."""
    planned: set[tuple[str, str]] = set()
    for path in sorted(results.folder.glob("excitations/*/cues.parquet")):
        table = read_arrow(path, CUES, ["track_id", "licence"])
        rows = table.group_by(["track_id", "licence"]).aggregate([]).to_pylist()
        planned.update((row["track_id"], row["licence"]) for row in rows)
    return [
        f"{track_id} was under {licence or 'no licence'} when its reel was planned and is under "
        f"{tracks[track_id].licence} in the corpus now: both are heeded"
        for track_id, licence in sorted(planned)
        if track_id in tracks and tracks[track_id].licence != licence
    ]


def _refusals(twin: Mapping[str, Any], commercial: bool) -> list[str]:
    reasons = list(twin["questions"])
    if commercial and twin["commercial"] is False and (unsold := twin["non_commercial"]):
        reasons.append(f"{_and(unsold)} allows no commercial use")
    return reasons


def _sentences(told: Mapping[str, Any]) -> list[str]:
    """A conclusion, for people."""
    words = {True: "yes", False: "no", None: "nobody can tell from names"}
    lines = [f"may be passed on: {words[told['share']]}" + (f", under {told['fits']}" if told["fits"] else "")]
    lines.append(f"may be sold: {words[told['commercial']]}")
    lines += ["authors must be named"] if told["attribution"] else []
    lines += [f"must be shared alike, for {_and(told['share_alike'])}"] if told["share_alike"] else []
    return lines + list(told["questions"])


def _asks(name: str) -> str:
    read = terms(name)
    if not read.known:
        return "unknown"
    asks = {
        "BY": "name the author",
        "NC": "do not sell",
        "SA": "share alike",
        "ND": "pass on no derivatives",
    }
    return ", ".join(asks[one] for one in read.elements) or "asks for nothing"
