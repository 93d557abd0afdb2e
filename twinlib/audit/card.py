"""Facts for the datasheet of a results folder, after Gebru et al., "Datasheets for Datasets", CACM 2021.

`twinlib.audit.pages.card` renders them. All facts come from the files; missing facts are reported as unknown.
"""

from collections.abc import Mapping
from typing import Any

from twinlib.audit.dataset_facts import Device, device_facts, excluded_tracks, find_limitations, gain_histogram
from twinlib.audit.licences import licences
from twinlib.audit.results_folder import ResultsFolder
from twinlib.capture import read_device_card
from twinlib.contracts import METRICS
from twinlib.errors import AuditError
from twinlib.files import read_json

LEVELS = ("peak_dbfs", "rms_dbfs", "noise_floor_dbfs", "snr_db", "clips", "hum_dbfs")
"""The keys of `take.json` in the datasheet."""
ALIGNED = ("lag_samples", "drift_ppm", "polarity", "gain_db", "residual_rms_samples", "confidence")
"""The keys of `alignment.json` in the datasheet."""
_APPLIED = ("applied_polarity", "applied_gain", "applied_dc")
_METRICS = (
    "esr", "esr_dry", "esr_gain", "esr_linear", "esr_floor", "gain_over_linear_db", "harmonics", "seconds", "dataset",
    "parameters", "receptive_field", "realtime_factor", "twin_sha256",
)  # fmt: skip
_MAX_WINDOWS = 600
"""Maximum number of windows of an alignment in the facts, sufficient for a figure."""


def card(results: ResultsFolder) -> dict[str, Any]:
    """Return the facts of the datasheet: `devices`, `excitations`, `twins`, `corpus` and `licences`.

    Equal results give equal facts. Raises `AuditError` if there is no dataset, `TwinError` for damaged files.
    """
    if not results.devices:
        raise AuditError(f"{results.folder} has no dataset (devices/*/segments.parquet): run the workflow first")
    rights = licences(results)
    facts = {name: device_facts(results, name, rights["devices"][name]) for name in results.devices}
    excitations = {name: content for device in facts.values() for name, content in device.excitations.items()}
    return {
        "corpus": {
            **(results.corpus_index or {}),
            "left_out": [
                {"track_id": track.track_id, "licence": track.licence, "reason": reason}
                for track, reason in excluded_tracks(results)
            ],
        },
        "excitations": {
            name: {**_excitation(excitations[name]), "gains": gain_histogram(results, name)}
            for name in sorted(excitations)
        },
        "devices": {name: _device(results, device) for name, device in facts.items()},
        "twins": {
            f"{device}/{model}": _twin(results, device, model, rights["twins"][f"{device}/{model}"])
            for device, model in results.twins
        },
        "licences": {"notice": rights["notice"], "changed": rights["changed"]},
    }


def _excitation(content: Mapping[str, Any]) -> dict[str, Any]:
    rate = content["sample_rate"]
    return {
        "settings": content["settings"],
        "reels": {name: round(reel["frames"] / rate, 3) for name, reel in content["reels"].items()},
        "tracks": {split: len(tracks) for split, tracks in content["tracks"].items()},
        "left_out": content["left_out"],
    }


def _device(results: ResultsFolder, device: Device) -> dict[str, Any]:
    folder = f"devices/{device.name}"
    manifest = results.maker(f"{folder}/segments.parquet")
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
                "simulated_on": _start_date(results, f"{folder}/{capture.name}/take.wav"),
            }
            for capture in device.captures
        },
        "settings": device.settings,
        "card": read_device_card(results.folder, device.name),
        "genres": device.genres,
        "music": device.music,
        "left_out": device.left_out,
        "leaks": _leaks(device),
        "probe": [path.parent.name for path in probes],
        "limits": find_limitations(device),
        "link": manifest.chain_hash if manifest else "",
    }


def _leaks(device: Device) -> dict[str, Any] | None:
    """Return the leak report, in which sweeps and tones count neither as tracks nor as artists."""
    if device.leaks is None:
        return None
    checked, generated = device.leaks["checked"], len(device.music["generated"])
    counts = {name: checked[name] - generated for name in ("tracks", "artists")}
    return {**device.leaks, "checked": {**checked, **counts}}


def _track(alignment: Mapping[str, Any]) -> list[list[float]]:
    """Return time (s of the dry file) and residual (samples) of the windows with a weight, decimated."""
    rate = alignment["sample_rate"]
    windows = sorted((one["position"] / rate, one["residual"]) for one in alignment["track"] if one["weight"] > 0)
    return [[round(time, 3), residual] for time, residual in windows[:: max(1, len(windows) // _MAX_WINDOWS)]]


def _start_date(results: ResultsFolder, name: str) -> str:
    maker = results.maker(name)
    return str(maker.content.get("started", ""))[:10] if maker else ""


def _twin(results: ResultsFolder, device: str, model: str, rights: Mapping[str, Any]) -> dict[str, Any]:
    folder = results.twin_folder(device, model)
    maker = results.maker(f"twins/{device}/{model}/twin.safetensors")
    path = folder / "evaluation" / "metrics.json"
    metrics = read_json(path, METRICS) if path.is_file() else None
    return {
        "device": device,
        "model": model,
        "metrics": {key: metrics[key] for key in _METRICS if key in metrics} if metrics else None,
        "params": dict(maker.content["params"]) if maker else {},
        "sha256": maker.outputs[f"twins/{device}/{model}/twin.safetensors"] if maker else "",
        "link": maker.chain_hash if maker else "",
        "rights": dict(rights),
    }
