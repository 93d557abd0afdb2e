"""Export of a twin to other programs; the file suffix selects the format."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from twinlib.errors import ModelError
from twinlib.model.nam import NamVersion, write_nam
from twinlib.model.onnx_export import write_onnx
from twinlib.model.twin import Twin

SUFFIXES = (".nam", ".onnx")
"""Both formats hold every network that `architecture` describes."""


def export_twin(
    twin: Twin,
    path: Path,
    date: datetime | None = None,
    card: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
    nam_version: NamVersion | None = None,
) -> None:
    """Write a twin as `.nam` (Neural Amp Modeler) or `.onnx`, atomically.

    `date` is the time of training, `card` the device card, `verdict` that of the evaluation on the twin and its takes.
    `nam_version` is the version of a `.nam` file, by default the oldest that plays correctly. Raises `ModelError` for
    another suffix, a missing package, a version that cannot hold the network, and folded weights that overflow float32.
    """
    check_export_path(path)
    if path.suffix.lower() == ".nam":
        write_nam(twin, path, date, card, verdict, nam_version)
    elif nam_version is not None:
        raise ModelError(f"{path}: only .nam files have a version of the .nam format")
    else:
        write_onnx(twin, path, date, card, verdict)


def check_export_path(path: Path) -> None:
    """Raise `ModelError` unless the suffix of `path` is an export format."""
    if path.suffix.lower() not in SUFFIXES:
        raise ModelError(f"{path}: unknown export format. Use the suffix {' or '.join(SUFFIXES)}")
