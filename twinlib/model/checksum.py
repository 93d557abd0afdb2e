"""The sum that a file of tensors carries, without torch: what writes the file and what audits it share it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

Named = tuple[str, str, Iterable[int], bytes | memoryview]
"""A tensor's name, its type as torch names it (`float32`), its shape, and its bytes, little-endian, row by row."""


def tensor_checksum(header: Mapping[str, Any], tensors: Iterable[Named]) -> str:
    """The sha256 over a header and its tensors in the order of their names: names, types, shapes and bytes."""
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, kind, shape, content in sorted(tensors, key=lambda tensor: tensor[0]):
        total.update(f"\0{name}\0torch.{kind}\0{tuple(shape)}\0".encode())
        total.update(content)
    return total.hexdigest()
