"""Headers of twins and of their exports, read without torch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from twinlib.contracts import TWIN, describe_mismatch
from twinlib.errors import AuditError, TwinError
from twinlib.extras import describe_missing_modules
from twinlib.parsing import describe_error, parse_json, read_text, require_file

MAX_ONNX = 1 << 28
"""Largest `.onnx` file to read, in bytes; the largest networks take some megabytes."""


def read_twin_header(path: Path) -> Mapping[str, Any]:
    """Read the header of a `twin.safetensors`, without its weights.

    Raises `AuditError` for any other file, and for a twin of another version.
    """
    try:
        require_file(path)
        with safe_open(path, framework="np") as file:
            header = parse_json((file.metadata() or {}).get("twinlib", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise AuditError(f"{path} is not a readable twin ({describe_error(error)})") from None
    if not isinstance(header, dict) or not header:
        raise AuditError(f"{path} is a safetensors file, but not a twin of this project")
    if header.get("contract") != TWIN:
        raise AuditError(f"{path} {describe_mismatch(header.get('contract'), TWIN)}")
    return header


def read_embedded_chain_hash(path: Path) -> str:
    """Return the chain hash embedded in a twin, `.nam` or `.onnx` file; empty for files without one."""
    if path.suffix == ".safetensors":
        return str(read_twin_header(path).get("provenance", ""))
    if path.suffix == ".nam":
        try:
            return str(parse_json(read_text(path))["metadata"]["twin"]["provenance"])
        except (OSError, ValueError, LookupError, TypeError):
            return ""
    if path.suffix == ".onnx":
        try:
            import onnx
        except ImportError:
            raise TwinError(describe_missing_modules(["onnx"])) from None
        try:
            require_file(path)
            if path.stat().st_size > MAX_ONNX:
                raise ValueError(f"it is larger than {MAX_ONNX >> 20} MiB")
            model = onnx.load(str(path), load_external_data=False)
        except Exception as error:
            raise AuditError(f"{path} is not a readable ONNX file ({error})") from None
        return next((prop.value for prop in model.metadata_props if prop.key == "provenance"), "")
    return ""
