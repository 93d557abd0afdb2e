"""Named arrays and a JSON header in one safetensors file: no pickle, equal content gives equal bytes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from twinlib.contracts import describe_mismatch
from twinlib.errors import ModelError
from twinlib.files import atomic_path
from twinlib.model.checksum import tensor_checksum
from twinlib.parsing import describe_error, parse_json, require_file

_KEY = "twinlib"
# A single key holds the whole header: safetensors writes several keys in arbitrary order.

Array = npt.NDArray[Any]


def save_tensors(path: Path, contract: str, header: Mapping[str, Any], tensors: Mapping[str, Array]) -> None:
    """Write arrays, a header with its contract (`twin/1`), and the checksum of both, atomically.

    Raises `ModelError` if the header or an array holds NaN or Inf.
    """
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise ModelError(f"{path} was not written: {name} holds NaN or Inf")
    # safetensors writes the memory of an array, whatever its strides.
    content = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    try:
        text = json.dumps({"contract": contract, **header}, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise ModelError(f"{path} was not written: its header is not JSON ({error})") from None
    parsed = json.loads(text)
    text = json.dumps({**parsed, "sha256": _checksum(parsed, content)}, sort_keys=True)
    with atomic_path(path) as aside:
        aside.write_bytes(save(content, metadata={_KEY: text}))


def load_tensors(path: Path, contract: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read a file of `save_tensors`: the header without its contract, and the arrays.

    Raises `ModelError` if the file is missing, corrupted, has another contract, or contains NaN or Inf.
    """
    try:
        require_file(path)
        with safe_open(path, framework="np") as file:
            header = parse_json((file.metadata() or {}).get(_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist") from None
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError, LookupError, AttributeError) as error:
        # NumPy has no type for some that safetensors stores.
        raise ModelError(f"{path} is not a readable safetensors file ({describe_error(error)})") from None
    if not isinstance(header, dict) or header.get("contract") != contract:
        found = header.get("contract") if isinstance(header, dict) else None
        raise ModelError(f"{path} {describe_mismatch(found, contract)}")
    # A weight with a flipped bit may still be finite.
    if header.pop("sha256", None) not in (None, _checksum(header, tensors)):
        raise ModelError(f"{path} is corrupted: checksum mismatch. Copy it again")
    del header["contract"]
    for name, tensor in tensors.items():
        if tensor.dtype.kind not in "biuf":
            raise ModelError(f"{path} holds {name} of the type {tensor.dtype}, which no model has. Copy it again")
        if not np.isfinite(tensor).all():
            raise ModelError(f"{path} is corrupted: {name} holds NaN or Inf. Copy it again, or retrain the twin")
    return header, tensors


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, Array]) -> str:
    return tensor_checksum(
        header,
        (
            (name, tensor.dtype.name, tensor.shape, tensor.reshape(-1).view(np.uint8).data)
            for name, tensor in tensors.items()
        ),
    )
