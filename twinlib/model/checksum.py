"""Checksum of a file of tensors, shared by the writer and by the audit; needs no torch."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

NamedTensor = tuple[str, str, Iterable[int], bytes | memoryview]
"""Name, dtype as torch spells it (`float32`), shape, and bytes: little-endian, row-major."""


def tensor_checksum(header: Mapping[str, Any], tensors: Iterable[NamedTensor]) -> str:
    """Return the sha256 of a header and its tensors, sorted by name: names, dtypes, shapes and bytes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, dtype, shape, content in sorted(tensors, key=lambda tensor: tensor[0]):
        digest.update(f"\0{name}\0torch.{dtype}\0{tuple(shape)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
