"""Export of a twin to other programs; the file suffix selects the format."""

from datetime import datetime
from pathlib import Path

from twinlib.errors import ModelError
from twinlib.model.nam import write_nam
from twinlib.model.onnx_export import write_onnx
from twinlib.model.twin import Twin

WRITERS = {".nam": write_nam, ".onnx": write_onnx}
"""Writers by suffix. Both formats hold every network that `architecture` describes."""


def export_twin(twin: Twin, path: Path, date: datetime | None = None) -> None:
    """Write a twin as `.nam` (Neural Amp Modeler) or `.onnx`, atomically.

    `date` is the time of training. Raises `ModelError` for another suffix, for a missing package, or if the folded
    weights overflow float32.
    """
    check_export_path(path)
    WRITERS[path.suffix.lower()](twin, path, date)


def check_export_path(path: Path) -> None:
    """Raise `ModelError` unless the suffix of `path` is an export format."""
    if path.suffix.lower() not in WRITERS:
        raise ModelError(f"{path}: unknown export format. Use the suffix {' or '.join(WRITERS)}")
