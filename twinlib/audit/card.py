"""The datasheet of a results folder, after Gebru et al., "Datasheets for Datasets", Communications of the ACM 2021.

`card` gathers the facts, `twinlib.audit.card_sections` puts them into words and tables and writes them as Markdown,
`card_page` as a page with the figures of `card_figures`. Nothing is said that the files do not bear out, and what they
do not know is said to be unknown.
"""

from collections.abc import Mapping
from typing import Any

from twinlib.audit.dataset_facts import Device, device_facts, gains, limits, tracks_left_out
from twinlib.audit.licences import licences
from twinlib.contracts import INDEX, METRICS
from twinlib.errors import AuditError
from twinlib.files import read_json
from twinlib.provenance.results import Results

LEVELS = ("peak_dbfs", "rms_dbfs", "noise_floor_dbfs", "snr_db", "clips", "hum_dbfs")
"""What is told of a take, by the keys of `take.json`."""
ALIGNED = ("lag_samples", "drift_ppm", "polarity", "gain_db", "residual_rms_samples", "confidence")
"""What is told of an alignment, by the keys of `alignment.json`."""
_APPLIED = ("applied_polarity", "applied_gain", "applied_dc")
_JUDGED = (
    "esr", "esr_dry", "esr_gain", "esr_linear", "esr_floor", "gain_over_linear_db", "harmonics", "seconds", "dataset",
    "parameters", "receptive_field", "realtime_factor", "twin_sha256",
)  # fmt: skip
_SHOWN = 600
"""Windows of a capture's alignment that the card keeps: more are not seen in a figure."""


def card(results: Results) -> dict[str, Any]:
    """The facts of a datasheet: `devices`, `excitations`, `twins`, `corpus` and `licences`, by their names.

    Raises `AuditError` if there is no dataset, `TwinError` where a file is damaged. Equal results give equal content.
    """
    if not results.devices:
        raise AuditError(f"{results.folder} holds no dataset yet: run the workflow until segments.parquet is there")
    rights = licences(results)
    facts = {name: device_facts(results, name, rights["devices"][name]) for name in results.devices}
    excitations = {name: found for device in facts.values() for name, found in device.excitations.items()}
    index = results.folder / "corpus" / "index.json"
    return {
        "corpus": {
            **(read_json(index, INDEX) if index.is_file() else {}),
            "left_out": [
                {"track_id": track.track_id, "licence": track.licence, "reason": reason}
                for track, reason in tracks_left_out(results)
            ],
        },
        "excitations": {
            name: {**_excitation(excitations[name]), "gains": gains(results, name)} for name in sorted(excitations)
        },
        "devices": {name: _device(results, device) for name, device in facts.items()},
        "twins": {
            f"{device}/{model}": _twin(results, device, model, rights["twins"][f"{device}/{model}"])
            for device, model in results.twins
        },
        "licences": {"notice": rights["notice"], "changed": rights["changed"]},
    }


def _excitation(found: Mapping[str, Any]) -> dict[str, Any]:
    rate = found["sample_rate"]
    return {
        "settings": found["settings"],
        "reels": {name: round(reel["frames"] / rate, 3) for name, reel in found["reels"].items()},
        "tracks": {split: len(tracks) for split, tracks in found["tracks"].items()},
        "left_out": found["left_out"],
    }


def _device(results: Results, device: Device) -> dict[str, Any]:
    folder = f"devices/{device.name}"
    made = results.maker(f"{folder}/segments.parquet")
    probes = sorted((results.folder / folder).glob("*/measurements.json"))
    return {
        "dataset": {key: value for key, value in device.dataset.items() if key != "captures"},
        "captures": {
            capture.name: {
                "kind": capture.kind,
                "excitation": capture.excitation,
                "take": {key: capture.take[key] for key in ("verdict", "reasons", "sha256", *LEVELS)},
                "alignment": {
                    **{key: capture.alignment[key] for key in ("verdict", "reasons", "dropouts", *ALIGNED, *_APPLIED)},
                    "track": _track(capture.alignment),
                },
                "takes": [{key: take[key] for key in ("since", "reason", "sha256")} for take in capture.takes],
                "simulated_on": _day(results, f"{folder}/{capture.name}/take.wav"),
            }
            for capture in device.captures
        },
        "settings": device.settings,
        "genres": device.genres,
        "music": device.music,
        "left_out": device.left_out,
        "leaks": device.leaks,
        "probe": [path.parent.name for path in probes],
        "limits": limits(device),
        "link": made.link if made else "",
    }


def _track(alignment: Mapping[str, Any]) -> list[list[float]]:
    """Seconds on the dry file and samples off the alignment, of windows that count, thinned out."""
    rate = alignment["sample_rate"]
    windows = sorted((one["position"] / rate, one["residual"]) for one in alignment["track"] if one["weight"] > 0)
    return [[round(time, 3), residual] for time, residual in windows[:: max(1, len(windows) // _SHOWN)]]


def _day(results: Results, name: str) -> str:
    maker = results.maker(name)
    return str(maker.content.get("started", ""))[:10] if maker else ""


def _twin(results: Results, device: str, model: str, rights: Mapping[str, Any]) -> dict[str, Any]:
    folder = results.folder / "twins" / device / model
    maker = results.maker(f"twins/{device}/{model}/twin.safetensors")
    path = folder / "evaluation" / "metrics.json"
    metrics = read_json(path, METRICS) if path.is_file() else None
    return {
        "device": device,
        "model": model,
        "metrics": {key: metrics[key] for key in _JUDGED if key in metrics} if metrics else None,
        "params": dict(maker.content["params"]) if maker else {},
        "sha256": maker.outputs[f"twins/{device}/{model}/twin.safetensors"] if maker else "",
        "link": maker.link if maker else "",
        "rights": dict(rights),
    }
