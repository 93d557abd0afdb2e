"""Results of an alignment on a terminal, and as JSON."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinlib.alignment import Alignment


def without_track(found: "Alignment") -> dict[str, Any]:
    """Return all keys except the hundreds of windows."""
    return {key: value for key, value in found.to_dict().items() if key != "track"}


def alignment_table(found: "Alignment") -> dict[str, str]:
    """Return the results of an alignment for display: name to formatted value."""
    rate = found.sample_rate
    table = {
        "verdict": found.verdict,
        "lag": f"{found.lag_samples:.3f} samples ({found.lag_samples / rate * 1e3:.3f} ms)",
        "drift": f"{found.drift_ppm:.4f} ppm",
        "polarity": "kept" if found.polarity > 0 else "inverted",
        "gain": f"{found.gain_db:.2f} dB",
        "confidence": f"{found.confidence:.0%} of the windows agree",
    }
    if found.residual_rms_samples is not None:
        table["residual"] = f"{found.residual_rms_samples:.4f} samples rms"
    if found.noise_floor_dbfs is not None:
        table["noise"] = f"{found.noise_floor_dbfs:.1f} dBFS, between repeats of the witness"
    if found.wander_rms_samples:
        table["wander"] = f"{found.wander_rms_samples:.3f} samples rms, corrected"
    if found.wet_sample_rate != rate:
        table["rate"] = f"{found.wet_sample_rate} Hz, resampled to {rate} Hz"
    if found.reference is not None:
        table["loop-back"] = f"channel {found.reference.channel + 1}, {found.reference.gain_db:.2f} dB"
    for one in found.dropouts:
        kind = "lost" if one.lost_samples >= 0 else "repeated"
        table[f"{kind} at {one.start:.3f} s"] = (
            f"{abs(one.lost_samples)} samples, located within {one.stop - one.start:.3f} s"
        )
    if found.excluded:
        seconds = sum(one.stop - one.start for one in found.excluded) / rate
        table["excluded"] = f"{seconds:.2f} s in {len(found.excluded)} ranges"
    return table


def print_content(content: dict[str, Any], as_json: bool) -> None:
    """Print a result as JSON, or a line a value with aligned names."""
    if as_json:
        print(json.dumps(content, indent=1))
        return
    width = max(len(key) for key in content)
    for key, value in content.items():
        print(f"{key:<{width}}  {value:.6g}" if isinstance(value, float) else f"{key:<{width}}  {value}")
