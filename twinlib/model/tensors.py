"""Named tensors and a JSON header in one safetensors file: nothing is pickled, equal content gives equal bytes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from twinlib.errors import ModelError
from twinlib.files import written_aside
from twinlib.model.checksum import tensor_checksum

_KEY = "twinlib"
# One key holds the whole header, because safetensors writes several in no fixed order.


def save_tensors(path: Path, contract: str, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write tensors with a header that names its contract (`twin/1`) and their common sum, whole or not at all.

    Raises `ModelError` if the header or a floating tensor holds a number that is not finite.
    """
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{path} is not written: {name} holds numbers that are not finite")
    # Copies, because safetensors refuses tensors that share memory.
    content = {
        name: tensors[name].detach().cpu().clone(memory_format=torch.contiguous_format) for name in sorted(tensors)
    }
    try:
        text = json.dumps({"contract": contract, **header}, sort_keys=True, allow_nan=False)
    except ValueError as error:
        raise ModelError(f"{path} is not written: its header is not JSON ({error})") from None
    told = json.loads(text)
    text = json.dumps({**told, "sha256": _sum(told, content)}, sort_keys=True)
    with written_aside(path) as aside:
        aside.write_bytes(save(content, metadata={_KEY: text}))


def load_tensors(path: Path, contract: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `save_tensors` wrote: header without its contract, and tensors on the CPU.

    Raises `ModelError` if the file is missing, damaged, of another contract, or holds numbers that are not finite.
    """
    if not path.is_file():
        raise ModelError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            header = json.loads(metadata.get(_KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"{path} is not a readable safetensors file ({error})") from None
    if not isinstance(header, dict) or header.get("contract") != contract:
        found = header.get("contract") if isinstance(header, dict) else None
        raise ModelError(f"{path} holds {found or 'no contract of ours'}, not {contract}")
    # A flipped bit may still be a number, but a twin that sounds wrong without a word is worse than none.
    if header.pop("sha256", None) not in (None, _sum(header, tensors)):
        raise ModelError(f"{path} is damaged: its content has not the sum that it was written with, copy it again")
    del header["contract"]
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise ModelError(f"{path} is damaged: {name} holds numbers that are not finite")
    return header, tensors


def _sum(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    return tensor_checksum(
        header,
        (
            (
                name,
                str(tensor.dtype).removeprefix("torch."),
                tensor.shape,
                tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data,
            )
            for name, tensor in tensors.items()
        ),
    )
