"""A trace for people: what `trace` found, as lines."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twinlib.audit.formatting import table


def trace_text(found: Mapping[str, Any]) -> str:
    """The answer of `trace` as readable lines."""
    kind = found["kind"]
    lines = {"segment": _segment, "clip": _clip, "music": _music, "twin": _twin, "file": _file}[kind](found)
    return "\n".join(lines)


def _indented(lines: Iterable[str]) -> list[str]:
    return ["  " + line for line in lines]


def _segment(found: Mapping[str, Any]) -> list[str]:
    row, take, alignment = found["segment"], found["take"], found["alignment"]
    split = row["split"] or f"in no split: {', '.join(row['flags'])}"
    lines = [
        f"segment {row['segment_id']}, {split}",
        f"  samples {row['start']} to {row['stop']} of {row['capture']}, row {row['row']} of {row['shard']}",
        f"  dry sha256 {row['dry_sha256']}",
        f"  wet sha256 {row['wet_sha256']}",
        f"  lag {row['lag']:.3f} samples, {row['residual']:+.4f} off its line; {row['context']} samples of context",
        f"device {row['device']}, settings {row['settings']}",
        f"take {take['path']}, {take.get('kind', 'take')}, {take['verdict']}",
        f"  sha256 {take['sha256']}",
        f"  alignment {alignment['verdict']}: lag {alignment['lag_samples']:.3f} samples, drift "
        f"{alignment['drift_ppm']:.4f} ppm, polarity {alignment['polarity']:+d}",
    ]
    if found["earlier_takes"]:
        lines.append(f"  it replaced {len(found['earlier_takes'])} earlier take(s): twin audit history")
    if found["excitation"]:
        lines += [f"what sounds (excitation {found['excitation']}):", *_indented(_slices(found["sources"]))]
        if found["context"]:
            lines += ["what sounds in its left context:", *_indented(_slices(found["context"]))]
    else:
        lines += ["what sounds:", *_indented(row["sources"])]
    return [*lines, *_twins(found["twins"]), *_stages(found["stages"])]


def _slices(slices: Iterable[Mapping[str, Any]]) -> list[str]:
    rows = [
        (one["track_id"], one["artist"], one["licence"], f"{one['source']}[{one['source_start']}:{one['source_stop']}]",
         f"{one['gain_db']:.1f} dB", one["split"], one["source_sha256"][:16])
        for one in slices
    ]  # fmt: skip
    return table(rows, ("track", "artist", "licence", "source[samples]", "gain", "split", "sha256")) or ["silence"]


def _twins(twins: Sequence[Mapping[str, Any]]) -> list[str]:
    if not twins:
        return ["no twin was trained on this dataset yet"]
    return [
        f"twin {one['device']}/{one['model']} "
        + (
            "was trained on this dataset"
            if one["this_dataset"]
            else f"was trained on another state, {one['dataset'][:16]}"
        )
        for one in twins
    ]


def _stages(stages: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = [(s["stage"], s["record"], s["started"], s["code"], s["commit"][:12], s["link"][:16]) for s in stages]
    lines = table(rows, ("stage", "record", "started", "code", "commit", "link"))
    dirty = any("not committed" in stage["commit"] for stage in stages)
    params = [
        f"{s['stage']}.{key} = {_short(value)}" for s in _first_of_each(stages) for key, value in s["params"].items()
    ]
    note = ["some stages ran on a checkout with changes that were not committed"] if dirty else []
    return ["made by:", *_indented(lines), *_indented(note), "with the settings:", *_indented(params)]


def _first_of_each(stages: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first stage of each kind and set of parameters: captures of one device are treated alike."""
    seen: dict[str, Mapping[str, Any]] = {}
    for stage in stages:
        seen.setdefault(stage["stage"] + json.dumps(stage["params"], sort_keys=True), stage)
    return list(seen.values())


def _short(value: str, most: int = 160) -> str:
    return value if len(value) <= most else value[:most] + " ..."


def _clip(found: Mapping[str, Any]) -> list[str]:
    rows = [
        (f"{one['clip_start']:.3f}", f"{one['clip_stop']:.3f}", one["segment_id"], ", ".join(one["track_ids"]),
         ", ".join(one["licences"]))
        for one in found["segments"]
    ]  # fmt: skip
    lines = [f"clip {found['clip']}", *_indented(table(rows, ("from s", "to s", "segment", "tracks", "licences")))]
    return lines + (_segment(found["origin"]) if "origin" in found else [])


def _music(found: Mapping[str, Any]) -> list[str]:
    lines = [f"clip {found['clip']}, music of the probe reel {found['reel']} (excitation {found['excitation']})"]
    if found["withdrawn"]:
        return [
            *lines,
            f"  silence: its music is of {', '.join(found['withdrawn'])}, withdrawn",
            *_stages(found["stages"]),
        ]
    rows = [
        (f"{one['clip_start']:.3f}", f"{one['clip_stop']:.3f}", one["track_id"], one["artist"], one["licence"],
         f"{one['source']}[{one['source_start']}:{one['source_stop']}]", one["source_sha256"][:16])
        for one in found["sources"]
    ]  # fmt: skip
    take = found["take"]
    lines += _indented(table(rows, ("from s", "to s", "track", "artist", "licence", "source[samples]", "sha256")))
    lines += [f"take {take['path']}, {take.get('kind', 'take')}, {take['verdict']}", f"  sha256 {take['sha256']}"]
    return lines + _stages(found["stages"])


def _twin(found: Mapping[str, Any]) -> list[str]:
    now = (
        "which is the one in these results" if found["dataset_is_current"] else "NOT the one in these results any more"
    )
    head = "as its record says" if found["head_is_its_record"] else "NOT that of its record"
    lines = [
        f"twin {found['device']}/{found['model']}",
        f"  sha256 {found['sha256']}",
        f"  head of its chain {found['head'] or 'none (an older version made it)'}"
        + (f", {head}" if found["head"] else ""),
        f"  dataset {found['dataset']}, {now}",
        "  " + ", ".join(f"{name} {amount['seconds']:.0f} s" for name, amount in found["splits"].items()),
        "takes:",
    ]
    takes = [(name, one["path"], one["verdict"], json.dumps(one.get("settings", {})), one["sha256"][:16])
             for name, one in found["takes"].items()]  # fmt: skip
    lines += _indented(table(takes, ("capture", "file", "verdict", "settings", "sha256")))
    splits = ("train", "valid", "test")
    tracks = [(one["track_id"], one["artist"], one["licence"], *(one.get(split, 0) for split in splits))
              for one in found["tracks"]]  # fmt: skip
    lines += ["tracks, in segments:", *_indented(table(tracks, ("track", "artist", "licence", *splits)))]
    out = found["left_out"]
    reasons = [(reason, f"{amount['seconds']:.1f}") for reason, amount in out["reasons"].items()]
    lines += ["left out:", *_indented(table(reasons, ("why", "seconds")))]
    gone = [(track, f"{amount['seconds']:.1f}") for track, amount in out["tracks"].items()]
    lines += ["excluded tracks:", *_indented(table(gone, ("track", "seconds")))] if gone else []
    return lines + _stages(found["stages"])


def _file(found: Mapping[str, Any]) -> list[str]:
    lines = [f"file {found['file']}", *(f"  sha256 {sum_}" for sum_ in found["sha256"])]
    if found["made_by"] is None:
        lines.append("  comes from outside: no stage made it")
    else:
        lines += ["made of:", *_indented(f"{sum_[:16]}  {name}" for name, sum_ in found["inputs"].items())]
        lines += ["which came from these files outside:", *_indented(found["sources"])] if found["sources"] else []
    if found["dependants"]:
        lines += ["what depends on it:", *_indented(found["dependants"])]
    return lines + (_stages(found["stages"]) if found["stages"] else [])
