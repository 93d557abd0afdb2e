"""The passport of a twin: device, settings, dataset, licences, takes, training and version, as rows of text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from twinlib.contracts import SPLITS

MAX_TAKES = 12
"""Largest number of takes that are named; the contact sheet shows all."""

_SPLITS = dict(zip(SPLITS, ("training", "validation", "test"), strict=True))

_ABOUT = ("recorded_by", "interface", "cables", "notes")
_LEVELS = {"input_level_dbu": "input", "output_level_dbu": "output"}


@dataclass(frozen=True)
class Origin:
    """Contents of the files that tell where a twin comes from."""

    card: Mapping[str, Any]
    """The device card: `card` in `device_card.json`."""
    knobs: Mapping[str, Any]
    """`settings` of the device in the configuration."""
    dataset: Mapping[str, Any]
    """The content of `dataset.json`."""
    trained: Mapping[str, Any]
    """The stage record of the training."""


def passport_rows(metrics: Mapping[str, Any], origin: Origin) -> list[tuple[str, str]]:
    """Return name and value of each row of the passport; rows without a known value are left out.

    `metrics` is the content of metrics.json.
    """
    card, dataset = origin.card, origin.dataset
    rows = (
        ("device", _device(metrics["device"], card, bool(dataset.get("simulated")))),
        ("settings", "; ".join(filter(None, (_knobs(origin.knobs), str(card.get("knobs", "")))))),
        ("recorded", ", ".join(filter(None, (str(card.get("date", "")), *(str(card.get(key, "")) for key in _ABOUT))))),
        ("levels at 0 dBFS", ", ".join(f"{word} {card[key]:+g} dBu" for key, word in _LEVELS.items() if key in card)),
        ("dataset", _dataset(dataset)),
        ("licences of the music", _licences(dataset.get("licences", {}))),
        ("takes", _takes(metrics.get("takes", {}))),
        ("network", _network(metrics)),
        ("training", _budget(json.loads(origin.trained["params"]["settings"]), _start(origin.trained))),
        ("version", _version(origin.trained)),
    )
    return [(name, value) for name, value in rows if value]


def passport_links(device: str) -> list[tuple[str, str]]:
    """Return text and address of the links of the page of a twin, relative to its folder `evaluation`."""
    results, own = "../../../..", quote(device)
    return [
        ("twin.nam", "../twin.nam"),
        ("twin.onnx", "../twin.onnx"),
        ("twin.safetensors", "../twin.safetensors"),
        ("listening tests", "listening.html"),
        ("all takes", f"{results}/devices/{own}/takes.html"),
        ("dataset.json", f"{results}/devices/{own}/dataset.json"),
        ("all twins", f"{results}/comparison.html"),
    ]


def _device(name: str, card: Mapping[str, Any], simulated: bool) -> str:
    made = " ".join(str(card[key]) for key in ("make", "model") if key in card)
    serial = f"serial {card['serial']}" if "serial" in card else ""
    gear = str(card.get("gear_type", "")).replace("_", " ")
    title = card.get("name") or made or name
    return ", ".join(
        filter(None, (str(title), made if made != title else "", gear, serial, "simulated" if simulated else ""))
    )


def _knobs(knobs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in knobs.items())


def _dataset(dataset: Mapping[str, Any]) -> str:
    # Absent from files of older versions.
    splits = dataset.get("splits", {})
    parts = [f"{_time(splits[split]['seconds'])} {word}" for split, word in _SPLITS.items() if split in splits]
    excluded = dataset.get("excluded", {}).get("all", {}).get("seconds")
    parts += [f"{_time(excluded)} excluded"] if excluded else []
    return "; ".join(filter(None, (", ".join(parts), f"digest {dataset['digest'][:12]}")))


def _licences(licences: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{name or 'not specified'} ({_time(each['seconds'])})" for name, each in licences.items())


def _takes(takes: Mapping[str, Mapping[str, Any]]) -> str:
    # The worst first: a list of many takes is cut.
    order = {"refused": 0, "suspect": 1, "ok": 2}
    named = sorted(takes, key=lambda name: order[takes[name]["verdict"]])
    words = [f"{name} ({takes[name]['verdict']})" for name in named[:MAX_TAKES]]
    return ", ".join([*words, *([f"{len(named) - MAX_TAKES} more"] if len(named) > MAX_TAKES else [])])


def _network(metrics: Mapping[str, Any]) -> str:
    field, rate = metrics["receptive_field"], metrics.get("sample_rate")
    memory = f" ({1000 * field / rate:.0f} ms)" if rate else ""
    taps = metrics.get("linear_taps", 0)
    beside = f", beside a linear filter of {taps} taps" if taps else ""
    return f"{metrics['model']}: {metrics['parameters']} parameters, receptive field {field} samples{memory}{beside}"


def _budget(settings: Mapping[str, Any], start: str) -> str:
    steps, seconds = settings["steps"], settings["cpu_seconds"]
    budget = f"{steps} steps" if steps is not None else f"{seconds:g} s of CPU time"
    seeds, first = settings["seeds"], settings["seed"]
    named = f"seed {first}" if seeds == 1 else f"seeds {first} to {first + seeds - 1}"
    warm = f"started from {settings['warm_start']}" if settings["warm_start"] else ""
    return ", ".join(filter(None, (budget, named, warm, start)))


def _start(trained: Mapping[str, Any]) -> str:
    return str(trained.get("started", ""))[:10]


def _version(trained: Mapping[str, Any]) -> str:
    git = trained.get("git") or {}
    commit = f"commit {git['commit'][:12]}{' with uncommitted changes' if git['dirty'] else ''}" if git else ""
    return ", ".join(filter(None, (commit, f"chain hash {trained['link'][:12]}")))


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"
