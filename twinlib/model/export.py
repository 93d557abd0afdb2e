"""A twin for other programs: which format by the ending of the file's name."""

from datetime import datetime
from pathlib import Path

from twinlib.errors import ModelError
from twinlib.model.nam import write_nam
from twinlib.model.onnx_export import write_onnx
from twinlib.model.twin import Twin

WRITERS = {".nam": write_nam, ".onnx": write_onnx}
"""The formats by their endings. Both hold every network that `architecture` describes."""


def export_twin(twin: Twin, path: Path, date: datetime | None = None) -> None:
    """Write a twin as `.nam` (Neural Amp Modeler) or `.onnx`, whole or not at all. `date`: when it was trained.

    Raises `ModelError` if the name ends otherwise, if the format's package is missing, or if float32 does not hold the
    weights once gains are folded in.
    """
    check_export_path(path)
    WRITERS[path.suffix.lower()](twin, path, date)


def check_export_path(path: Path) -> None:
    """Refuse, with `ModelError`, a file whose name does not say its format."""
    if path.suffix.lower() not in WRITERS:
        raise ModelError(f"{path}: a twin is exported as {' or '.join(WRITERS)}: choose such an ending")
