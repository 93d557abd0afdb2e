"""The datasheet in words and tables, from the facts of `twinlib.audit.card`; `card_markdown` writes it as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twinlib.audit.card import ALIGNED, LEVELS
from twinlib.audit.formatting import duration
from twinlib.contracts import SPLITS
from twinlib.formatting import percent


@dataclass(frozen=True)
class Table:
    """A heading and rows, all of them texts."""

    heading: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Figure:
    """The place of a figure, by its name in `twinlib.audit.card_figures.card_figures`, and what it shows."""

    name: str
    shows: str


@dataclass(frozen=True)
class Section:
    """A title, and below it paragraphs (str), lists of sentences, tables and figures."""

    title: str
    parts: tuple[str | list[str] | Table | Figure, ...]


def sections(told: Mapping[str, Any]) -> list[Section]:
    """The datasheet in words, from the facts of `card`."""
    devices, twins = told["devices"], told["twins"]
    return [
        Section("Motivation", _motivation(devices)),
        Section("Composition", _composition(told)),
        Section("Collection", _collection(told)),
        Section("Preprocessing", _preprocessing(devices)),
        Section("Splits", _splits(told)),
        Section("Twins", _twins(twins)),
        Section("Known limits", tuple(part for name, one in devices.items() for part in (f"{name}:", one["limits"]))),
        Section("Licences", _rights(told)),
        Section("Maintenance", _maintenance(told)),
    ]


def card_markdown(told: Mapping[str, Any]) -> str:
    """The datasheet as Markdown, without figures. Equal facts give equal text."""
    lines = [f"# {title(told)}", ""]
    for section in sections(told):
        lines += [f"## {section.title}", ""]
        for part in section.parts:
            if isinstance(part, str):
                lines += [_cell(part), ""]
            elif isinstance(part, list):
                lines += [*(f"- {_cell(line)}" for line in part), ""]
            elif isinstance(part, Table):
                lines += _rows(part)
    return "\n".join(lines).rstrip() + "\n"


def title(told: Mapping[str, Any]) -> str:
    """What the datasheet is about, in a line."""
    return f"Datasheet: {', '.join(told['devices'])}"


def _rows(table: Table) -> list[str]:
    rows = [table.heading, tuple("---" for _ in table.heading), *table.rows]
    return [*("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows), ""]


def _cell(text: str) -> str:
    """A text that Markdown takes as it is: names of files and tracks may hold its signs."""
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _motivation(devices: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        f"Each dataset pairs music with what a device made of it ({', '.join(devices)}), so that a network can learn "
        "to do the same: a digital twin of the device.",
        "Who had this made, who paid for it and for which further purpose is not recorded.",
    )


def _composition(told: Mapping[str, Any]) -> tuple[Any, ...]:
    devices = told["devices"]
    rows: list[tuple[str, ...]] = []
    by_licence: list[tuple[str, ...]] = []
    by_genre: list[tuple[str, ...]] = []
    shapes: list[str] = []
    for name, device in devices.items():
        dataset, music = device["dataset"], device["music"]
        rows.append(
            (
                name,
                duration(music["hours"]),
                str(music["segments"]),
                str(music["tracks"]),
                str(music["artists"]),
                *(duration(dataset["splits"][split]["seconds"] / 3600) for split in SPLITS),
                duration(dataset["excluded"]["all"]["seconds"] / 3600),
            )
        )
        shapes.append(
            f"{name}: a segment is {dataset['segment_samples']} samples of dry and of wet signal, float32, at "
            f"{dataset['sample_rate']} Hz; one channel."
        )
        by_licence += [
            (name, licence or "none is named", str(amount["tracks"]), duration(amount["hours"]), *_by_split(amount))
            for licence, amount in music["by_licence"].items()
        ]
        by_genre += [
            (
                name,
                genre or "none is named",
                duration(sum(hours.values())),
                *(duration(hours[split]) for split in SPLITS),
            )
            for genre, hours in device["genres"].items()
        ]
    left = told["corpus"]["left_out"]
    return (
        Table(("device", "in all", "segments", "tracks", "artists", *SPLITS, "left out"), tuple(rows)),
        shapes,
        Table(("device", "licence", "tracks", "in all", *SPLITS), tuple(by_licence)),
        Figure("licences", "Hours of each split, by licence"),
        Table(("device", "genre", "in all", *SPLITS), tuple(by_genre)),
        Figure("genres", "Hours of each split, by genre"),
        "A segment in which two tracks sound counts for both, so hours by licence and genre may add up to more.",
        "Of persons it holds names of artists, as credits, and their music; nothing else.",
        *(
            (
                "Tracks of the corpus that must not be used, and why:",
                [f"{one['track_id']}: {one['reason']}" for one in left],
            )
            if left
            else ()
        ),
    )


def _by_split(amount: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(duration(amount["hours_by_split"][split]) for split in SPLITS)


def _collection(told: Mapping[str, Any]) -> tuple[Any, ...]:
    parts: list[Any] = []
    for name, found in told["excitations"].items():
        settings, seconds = found["settings"], sum(found["reels"].values())
        low, high = settings["level_db"]
        parts += [
            f"Excitation {name}: {settings['slices']} excerpts of {settings['slice_samples']} samples, crossfaded over "
            f"{settings['crossfade_samples']}, drawn at random (seed {settings['seed']}) from "
            f"{sum(found['tracks'].values())} tracks in proportion to their length, each played at {low:g} to {high:g} "
            f"dB of its recording's level; {len(found['reels'])} reels of {duration(seconds / 3600)} in all, "
            f"{settings['bit_depth']} bits at {settings['sample_rate']} Hz. Excerpts below "
            f"{settings['silence_dbfs']:g} dBFS were drawn again.",
            found["left_out"],
        ]
    parts.append(Figure("gains", "The gains at which excerpts were played, by split"))
    takes: list[tuple[str, ...]] = []
    aligned: list[tuple[str, ...]] = []
    kinds: list[str] = []
    for name, device in told["devices"].items():
        settings = "; ".join(
            ", ".join(f"{k} {v}" for k, v in one.items()) or "none is named" for one in device["settings"]
        )
        kinds.append(f"{name}: settings of the device: {settings}. {_probe(device)}")
        for capture, found in device["captures"].items():
            take, alignment = found["take"], found["alignment"]
            takes.append((name, capture, _kind(found), take["verdict"], *(_number(take[key]) for key in LEVELS)))
            losses = str(len(alignment["dropouts"]))
            row = (_number(alignment[key]) for key in ALIGNED)
            aligned.append((name, capture, alignment["verdict"], *row, losses))
    said = [
        f"{name}, {capture}: {reason}"
        for name, device in told["devices"].items()
        for capture, found in device["captures"].items()
        for part in ("take", "alignment")
        for reason in found[part]["reasons"]
    ]
    said += [
        f"{name}, {capture}: the take of {take['since']} replaced the one before; why: {take['reason']}"
        for name, device in told["devices"].items()
        for capture, found in device["captures"].items()
        for take in found["takes"][1:]
    ]
    heading = ("peak dBFS", "rms dBFS", "noise dBFS", "SNR dB", "clips", "hum dBFS")
    return (
        *(part for part in parts if part != []),
        kinds,
        Table(("device", "capture", "kind", "verdict", *heading), tuple(takes)),
        "When exactly a device was recorded, by whom and with which interface is not known.",
        Table(
            (
                "device",
                "capture",
                "alignment",
                "lag",
                "drift ppm",
                "polarity",
                "gain dB",
                "residual",
                "agree",
                "losses",
            ),
            tuple(aligned),
        ),
        "Lag and residual are in samples; agree is the share of the audible windows that agree with the alignment.",
        Figure("residuals", "How far windows of each capture lie off their alignment"),
        *(
            ("What is odd about takes and alignments:", said)
            if said
            else ("Nothing is odd about any take or alignment.",)
        ),
    )


def _probe(device: Mapping[str, Any]) -> str:
    if device["probe"]:
        return f"Harmonics, responses and noise were measured with a probe reel ({', '.join(device['probe'])})."
    return "No probe reel was recorded, so harmonics and noise are not measured."


def _kind(found: Mapping[str, Any]) -> str:
    words = {"take": "recorded", "simulated": "simulated", "pair": "pair of files"}
    day = (
        found["simulated_on"] if found["kind"] == "simulated" else found["takes"][-1]["since"] if found["takes"] else ""
    )
    since = {"take": "there since", "simulated": "on", "pair": "there since"}
    return words[found["kind"]] + (f", {since[found['kind']]} {day}" if day else "")


def _preprocessing(devices: Mapping[str, Any]) -> tuple[Any, ...]:
    rows = [
        (name, reason, str(amount["segments"]), duration(amount["seconds"] / 3600))
        for name, device in devices.items()
        for reason, amount in device["dataset"]["excluded"]["reasons"].items()
    ]
    right = [
        f"{name}, {capture}: {', '.join(put_right)}."
        for name, device in devices.items()
        for capture, found in device["captures"].items()
        if (put_right := _put_right(found["alignment"]))
    ]
    guards = sorted({device["dataset"]["guard_samples"] for device in devices.values()})
    return (
        "The lag of each recording, its drift and its losses were measured against the dry file, by clicks where there "
        "are some and by the music, and taken out by interpolation with a windowed sinc. The wet signal is late by "
        f"{_list(guards)} samples on purpose.",
        *((right,) if right else ()),
        "What was left out, and why; a segment counts for each of its reasons:",
        Table(("device", "reason", "segments", "time"), tuple(rows)),
        "Takes and reels are kept as they are: left out means flagged in segments.parquet.",
    )


def _put_right(alignment: Mapping[str, Any]) -> list[str]:
    """What was done to the samples of a take besides moving them."""
    return [
        *(["the polarity was turned round"] if alignment["applied_polarity"] < 0 else []),
        *([f"multiplied by {alignment['applied_gain']:.4g}"] if alignment["applied_gain"] != 1 else []),
        *([f"{alignment['applied_dc']:.3g} of full scale was taken away as DC"] if alignment["applied_dc"] else []),
    ]


def _splits(told: Mapping[str, Any]) -> tuple[Any, ...]:
    lines = []
    for name, found in told["excitations"].items():
        split = found["settings"]["split"]
        shares = ", ".join(f"{one} {split[one]:.0%}" for one in SPLITS)
        lines.append(
            f"{name}: whole {split['by']}s went to one split before the reels were made; {shares} were asked for."
        )
    for name, device in told["devices"].items():
        leaks = device["leaks"]
        if not leaks:
            lines.append(f"{name}: not searched for leaks.")
            continue
        checked = leaks["checked"]
        count = f"{len(leaks['leaks'])} leaks" if leaks["leaks"] else "no leak"
        lines.append(
            f"{name}: {count} between the splits among {sum(checked['segments'].values())} segments, "
            f"{checked['tracks']} tracks and {checked['artists']} artists; no {checked['by']}, sample or content may "
            f"stand in two; {len(checked['captures_against_cues'])} captures checked against their cue sheet."
        )
    return (lines,)


def _twins(twins: Mapping[str, Any]) -> tuple[Any, ...]:
    if not twins:
        return ("No twin has been trained yet.",)
    rows: list[tuple[str, ...]] = []
    lines: list[str] = []
    for name, twin in twins.items():
        metrics = twin["metrics"]
        if metrics is None:
            lines.append(f"{name} has not been judged yet.")
            continue
        ratios = (_ratio(metrics.get(key)) for key in ("esr", "esr_dry", "esr_gain", "esr_linear", "esr_floor"))
        speed = f"{metrics['realtime_factor']:.1f} x"
        rows.append((name, *ratios, f"{metrics['gain_over_linear_db']:+.1f} dB", str(metrics["parameters"]), speed))
        harmonics = metrics.get("harmonics")
        if harmonics and harmonics["compared"]:
            lines.append(
                f"{name}: {harmonics['within']} of {harmonics['compared']} harmonics are within 1 dB of the device's, "
                f"the worst is off by {harmonics['worst_db']:.1f} dB."
            )
    heading = ("twin", "test ESR", "dry signal", "best gain", "linear filter", "floor", "gained", "parameters", "speed")
    return (
        "Errors of the test split as a share of the device's energy (ESR), pooled over all of it, beside what the dry "
        "signal, the best gain and the best linear filter reach; floor is what the device's own noise leaves to any "
        "twin, known where a probe reel was recorded.",
        Table(heading, tuple(rows)),
        *((lines,) if lines else ()),
        Figure("twins", "Test ESR of every twin against its speed"),
    )


def _rights(told: Mapping[str, Any]) -> tuple[Any, ...]:
    answers = {True: "yes", False: "no", None: "nobody can tell"}
    rows = []
    questions = list(told["licences"]["changed"])
    things = {f"dataset {name}": device["music"] for name, device in told["devices"].items()}
    things |= {f"twin {name}": twin["rights"] for name, twin in told["twins"].items()}
    for name, found in things.items():
        named = "yes" if found["attribution"] else "no"
        rows.append((name, answers[found["share"]], answers[found["commercial"]], named, found["fits"] or "none"))
        questions += [f"{name}: {question}." for question in found["questions"]]
    heading = ("what", "may be passed on", "may be sold", "name the authors", "under")
    return (Table(heading, tuple(rows)), *((questions,) if questions else ()), told["licences"]["notice"])


def _maintenance(told: Mapping[str, Any]) -> tuple[Any, ...]:
    rows = [
        (f"dataset {name}", device["dataset"]["digest"], device["link"] or "none")
        for name, device in told["devices"].items()
    ]
    rows += [(f"twin {name}", twin["sha256"] or "none", twin["link"] or "none") for name, twin in told["twins"].items()]
    return (
        [
            "To withdraw a track: twin audit withdraw TRACK. It says what holds it, and what to run so that its "
            "segments are dropped and all that was made of them is made anew; no recording is lost.",
            "To verify that every file is what its record says: twin audit verify.",
            "To see where a segment or a twin comes from: twin audit trace.",
        ],
        "What this sheet is about, by sum, and the head of the chain of records behind it: the sum over program, "
        "parameters, code and inputs of every stage down to the corpus.",
        Table(("what", "digest or sha256", "head of the chain"), tuple(rows)),
    )


def _list(values: Sequence[object]) -> str:
    return " or ".join(str(value) for value in values)


def _ratio(value: float | None) -> str:
    return "unknown" if value is None else percent(value)


def _number(value: float | int | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, int):
        return str(value)
    # Not "-0".
    return f"{value:.2f}" if abs(value) >= 10 else f"{value + 0.0:.3g}"
