"""WAV, CAF and FLAC files byte by byte, as recorders and audio programs leave them."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE = 44100


def noise(frames: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Samples that 16 bits hold exactly, `(frames, channels)`."""
    steps = np.random.default_rng(seed).integers(-30_000, 30_000, (frames, channels))
    return (steps / 2.0**15).astype(np.float32)


def pcm(samples: np.ndarray, bits: int, container: int | None = None) -> bytes:
    """Little-endian integers of `bits` bits, left-justified in `container` bits; float32 for 0 bits."""
    if bits == 0:
        return samples.astype("<f4").tobytes()
    container = container or bits
    numbers = np.round(samples.reshape(-1) * 2.0 ** (bits - 1)).astype(np.int64) << (32 - bits)
    return numbers.astype("<i4").view(np.uint8).reshape(-1, 4)[:, 4 - container // 8 :].tobytes()


def chunk(name: bytes, body: bytes, pad: bytes = b"\0") -> bytes:
    return name + struct.pack("<I", len(body)) + body + pad * (len(body) % 2)


def fmt(bits: int, channels: int = 1, valid: int | None = None, align: int | None = None) -> bytes:
    """A `fmt ` chunk of integers, or of float32 for 0 bits; with `valid` bits, WAVE_FORMAT_EXTENSIBLE."""
    width = (bits or 32) // 8
    align = channels * width if align is None else align
    tag = 0xFFFE if valid else 1 if bits else 3
    body = struct.pack("<HHIIHH", tag, channels, RATE, RATE * channels * width, align, width * 8)
    if valid:
        guid = struct.pack("<IHH", 1, 0, 0x10) + bytes.fromhex("800000aa00389b71")
        body += struct.pack("<HHI", 22, valid, 0) + guid
    return chunk(b"fmt ", body)


def wav(
    path: Path,
    data: bytes,
    form: bytes,
    *,
    magic: bytes = b"RIFF",
    before: Sequence[bytes] = (),
    after: Sequence[bytes] = (),
    first: Sequence[bytes] = (),
    data_size: int | None = None,
    riff_size: int | None = None,
    pad: bytes = b"\0",
) -> Path:
    """Write a WAV file of given chunks; its sizes may be wrong."""
    size = len(data) if data_size is None else data_size
    body = b"WAVE" + b"".join(first) + form + b"".join(before) + b"data" + struct.pack("<I", size) + data
    body += pad * (len(data) % 2) + b"".join(after)
    path.write_bytes(magic + struct.pack("<I", len(body) if riff_size is None else riff_size) + body)
    return path


def rf64(path: Path, data: bytes, form: bytes, size: int, magic: bytes = b"RF64", with_ds64: bool = True) -> Path:
    """Write an RF64 or BW64 file whose ds64 announces `size` bytes of samples."""
    first = (
        [chunk(b"ds64", struct.pack("<QQQI", min(size + 100, 2**64 - 1) if size else 0, size, 0, 0))]
        if with_ds64
        else []
    )
    return wav(path, data, form, magic=magic, first=first, data_size=0xFFFFFFFF, riff_size=0xFFFFFFFF)


def caf(path: Path, samples: np.ndarray, size: int | None) -> Path:
    """Write a CAF file of 24 bits whose data chunk announces `size` bytes, or the right number."""
    soundfile.write(path, samples, RATE, "PCM_24", format="CAF")
    if size is not None:
        content = bytearray(path.read_bytes())
        at = content.index(b"data") + 4
        content[at : at + 8] = struct.pack(">q", size)
        path.write_bytes(content)
    return path


def flac(path: Path, samples: np.ndarray, *, known: bool) -> Path:
    """Write a FLAC file of 16 bits, of unknown length unless `known`, as an encoder writes it into a pipe."""
    soundfile.write(path, samples, RATE, "PCM_16", format="FLAC")
    if not known:
        content = bytearray(path.read_bytes())
        content[21] &= 0xF0
        content[22:42] = bytes(20)
        path.write_bytes(content)
    return path
