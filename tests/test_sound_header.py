"""Sound files as recorders, audio programs and interrupted copies leave them."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sound_files import caf, chunk, flac, fmt, noise, pcm, rf64, wav
from twinlib import audio
from twinlib.errors import AudioError
from twinlib.sound_header import NO_SIZE, SplicedFile, find_samples

INFO = chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"DAW\0\0"))
BEXT = chunk(b"bext", b"take 3".ljust(602, b"\0") + b"A=PCM\r\n")

UNFINISHED: dict[str, Callable[[Path, bytes, bytes], Path]] = {
    "no sizes": lambda path, data, form: wav(path, data, form, data_size=0, riff_size=0),
    "no data size": lambda path, data, form: wav(path, data, form, data_size=0),
    "size of an empty file": lambda path, data, form: wav(path, data, form, data_size=0, riff_size=36),
    "after other chunks": lambda path, data, form: wav(
        path, data, form, before=[chunk(b"FLLR", bytes(4044))], data_size=0, riff_size=4088
    ),
    "size of the last update": lambda path, data, form: wav(path, data, form, data_size=960, riff_size=996),
    "maximum": lambda path, data, form: wav(path, data, form, data_size=NO_SIZE, riff_size=NO_SIZE),
    "maximum of 31 bits": lambda path, data, form: wav(path, data, form, data_size=0x7FFFF000, riff_size=0x7FFFF024),
    "too large, but the size of the file is right": lambda path, data, form: wav(
        path, data, form, data_size=2 * len(data)
    ),
    "RF64, empty ds64": lambda path, data, form: rf64(path, data, form, 0),
    "RF64, without ds64": lambda path, data, form: rf64(path, data, form, 0, with_ds64=False),
    "RF64, maximum": lambda path, data, form: rf64(path, data, form, 2**64 - 1),
    "BW64, empty ds64": lambda path, data, form: rf64(path, data, form, 0, b"BW64"),
    "empty first chunk": lambda path, data, form: wav(path, data, form, before=[chunk(b"data", b"")], data_size=0),
}


@pytest.mark.parametrize("head", [b"RIFF\0\0\0\0WAVE" + chunk(b"fmt ", fmt(16, 1)), b"caff\0\1\0\0"])
def test_a_file_that_was_never_written_is_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    """Its zeros look like a million empty chunks."""
    unpack, chunks = struct.unpack, []
    monkeypatch.setattr(struct, "unpack", lambda *arguments: chunks.append(1) or unpack(*arguments))
    path = tmp_path / "x.wav"
    path.write_bytes(head + bytes(1 << 16))
    assert find_samples(path) is None
    assert len(chunks) < 5


@pytest.mark.parametrize("bits", [16, 24, 32, 0])
@pytest.mark.parametrize("kind", UNFINISHED)
def test_an_unfinished_header_is_read_to_the_end_of_the_file(tmp_path: Path, kind: str, bits: int) -> None:
    samples = noise(1001, 2)
    path = UNFINISHED[kind](tmp_path / "x.wav", pcm(samples, bits), fmt(bits, 2))
    np.testing.assert_array_equal(audio.read(path), samples)
    np.testing.assert_array_equal(audio.read(path, 500, 501), samples[500:501])
    info = audio.read_info(path)
    assert (info.frames, info.header, info.sample_rate) == (1001, "unfinished", 44100)
    assert "read to its end" in str(info.describe_header())


COMPLETE: dict[str, Callable[[Path, bytes, bytes], Path]] = {
    "plain": lambda path, data, form: wav(path, data, form),
    "bext first": lambda path, data, form: wav(path, data, form, first=[BEXT]),
    "session": lambda path, data, form: wav(
        path, data, form, first=[chunk(b"JUNK", bytes(92))], before=[BEXT, chunk(b"DGDA", bytes(13))]
    ),
    "text after": lambda path, data, form: wav(path, data, form, after=[chunk(b"iXML", b"<X/>" * 301)]),
    "padding is not zero": lambda path, data, form: wav(path, data, form, pad=b"Q", after=[INFO]),
    "no padding": lambda path, data, form: wav(path, data, form, pad=b"", after=[INFO]),
    "tag after": lambda path, data, form: wav(path, data, form, after=[b"TAG".ljust(128)]),
    "zeros after": lambda path, data, form: wav(path, data, form, after=[bytes(3001)]),
    "cut in a chunk after the samples": lambda path, data, form: wav(path, data, form, after=[BEXT[:300]]),
    "zeros in a chunk": lambda path, data, form: wav(path, data, form, before=[chunk(b"LIST", bytes(393164))]),
    "wrong size of the file": lambda path, data, form: wav(path, data, form, riff_size=0),
    "empty first chunk": lambda path, data, form: wav(path, data, form, before=[chunk(b"data", b"")]),
    "BW64": lambda path, data, form: rf64(path, data, form, len(data), b"BW64"),
    "RF64": lambda path, data, form: rf64(path, data, form, len(data)),
}


@pytest.mark.parametrize("bits", [16, 24, 0])
@pytest.mark.parametrize("kind", COMPLETE)
def test_a_complete_file_is_read_exactly(tmp_path: Path, kind: str, bits: int) -> None:
    samples = noise(1001)
    path = COMPLETE[kind](tmp_path / "x.wav", pcm(samples, bits), fmt(bits))
    np.testing.assert_array_equal(audio.read(path), samples)
    assert audio.read_info(path).header == "complete"
    assert audio.read_info(path).describe_header() is None


@pytest.mark.parametrize(
    ("form", "bits", "container"),
    [
        (fmt(32, valid=24), 24, 32),
        (fmt(24, valid=20), 20, 24),
        (fmt(32, align=4).replace(b"\x20\0", b"\x18\0"), 24, 32),
        (fmt(24, align=0), 24, 24),
    ],
)
def test_unusual_formats_are_read_exactly(tmp_path: Path, form: bytes, bits: int, container: int) -> None:
    for samples in (noise(1001), 0.3 * np.sin(0.05 * np.arange(10_001))[:, None], 1e-3 * noise(50_000)):
        for size in (None, 0):
            path = wav(tmp_path / "x.wav", pcm(samples, bits, container), form, data_size=size)
            np.testing.assert_allclose(audio.read(path), samples, atol=2.0**-19, rtol=0)


@pytest.mark.parametrize("bits", [16, 24, 0])
@pytest.mark.parametrize("magic", [b"RIFF", b"RF64", b"BW64"])
def test_a_truncated_file_is_named_and_read_to_its_end(tmp_path: Path, magic: bytes, bits: int) -> None:
    samples, form = noise(44100), fmt(bits)
    data = pcm(samples, bits)
    path = tmp_path / "x.wav"
    made = wav(path, data, form) if magic == b"RIFF" else rf64(path, data, form, len(data), magic)
    made.write_bytes(made.read_bytes()[: -len(data) // 2])
    info = audio.read_info(path)
    assert (info.header, info.announced) == ("truncated", pytest.approx(44100, abs=1))
    assert "truncated at 0.50 s, but its header announces 1.00 s" in str(info.describe_header())
    np.testing.assert_array_equal(audio.read(path), samples[: info.frames])


@pytest.mark.parametrize("container", ["AIFF", "W64"])
@pytest.mark.parametrize("kind", ["truncated", "unfinished"])
def test_other_containers_are_read_to_their_end(tmp_path: Path, container: str, kind: str) -> None:
    path, samples = tmp_path / "x", noise(2000)
    soundfile.write(path, samples, 44100, "PCM_24", format=container)
    content = bytearray(path.read_bytes())
    if kind == "truncated":
        del content[-3000:]
    elif container == "AIFF":
        content[4:8] = bytes(4)
        at = content.index(b"COMM")
        content[at + 10 : at + 14] = bytes(4)
        at = content.index(b"SSND")
        content[at + 4 : at + 8] = bytes(4)
    else:
        content[16:24] = bytes(8)
        at = content.index(b"data")
        content[at + 16 : at + 24] = bytes(8)
    path.write_bytes(content)
    assert audio.read_info(path).header == kind
    np.testing.assert_array_equal(audio.read(path), samples[: 1000 if kind == "truncated" else 2000])


@pytest.mark.parametrize(("size", "header"), [(None, "complete"), (-1, "unfinished"), (0, "unfinished")])
def test_caf_of_unknown_length(tmp_path: Path, size: int | None, header: str) -> None:
    samples = noise(1000, 2)
    path = caf(tmp_path / "x.caf", samples, size)
    np.testing.assert_array_equal(audio.read(path), samples)
    assert audio.read_info(path).header == header
    path.write_bytes(path.read_bytes()[:-300])
    assert audio.read_info(path).header == ("unfinished" if size is not None else "truncated")
    np.testing.assert_array_equal(audio.read(path), samples[:950])


@pytest.mark.parametrize("frames", [1, 4095, 4096, 4097, 70_000, 140_000])
def test_flac_of_unknown_length(tmp_path: Path, frames: int) -> None:
    samples = noise(frames)
    path = flac(tmp_path / "x.flac", samples, known=False)
    if frames == 4097:
        path.write_bytes(b"ID3\x04\0\0" + bytes([0, 0, 2, 1]) + bytes(257) + path.read_bytes())
    with audio.Reader(path) as reader:
        assert (reader.info.frames, reader.info.header) == (frames, "unfinished")
        np.testing.assert_array_equal(reader.read(), samples)
        np.testing.assert_array_equal(reader.read(frames // 2, frames // 2 + 1), samples[frames // 2][None])
        np.testing.assert_array_equal(reader.read(frames - 1), samples[-1:])


def test_a_truncated_flac_is_named_with_its_end(tmp_path: Path) -> None:
    path = flac(tmp_path / "x.flac", noise(88_200), known=True)
    path.write_bytes(path.read_bytes()[:-90_000])
    with pytest.raises(AudioError, match=r"x\.flac is truncated: it ends at (0|1)\.\d+ s, .* announces 2\.00 s"):
        audio.read_info(path)


def test_a_wav_of_unknown_length_beyond_4_gib_is_read_to_its_end(tmp_path: Path) -> None:
    path, end = tmp_path / "x.wav", noise(100)
    wav(path, b"", fmt(16), data_size=NO_SIZE, riff_size=NO_SIZE)
    with path.open("r+b") as file:
        file.seek(44 + 2 * (2**31 + 1000))
        file.write(pcm(end, 16))
    with audio.Reader(path) as reader:
        assert reader.info.frames == 2**31 + 1100
        np.testing.assert_array_equal(reader.read(2**31 + 1000), end)
    os.truncate(path, 0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"is empty \(0 bytes\): copy or record it again"),
        (bytes(5000), "starts with zeros instead of a header"),
        (struct.pack(">I", 28) + b"ftypM4A isomiso2" + bytes(100), "is MPEG-4.*export it as WAV or FLAC"),
        (b"\xff\xf1\x50\x80" * 100, "is AAC.*export it as WAV or FLAC"),
        (b"caff\0\1\0\0desc" + struct.pack(">qd4s", 32, 44100, b"aac ") + bytes(60), "'aac'.*export it as WAV"),
        (b"PK\x03\x04" + bytes(100), "a ZIP archive"),
        (b"RIFF\x24\0\0\0WAVE" + fmt(16) + b"data\0\0\0\0", "contains no samples"),
        (b"RIFF\x24\0\0\0WAVE" + fmt(16) + b"data\0\0\0\0" + INFO, "contains no samples"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_remedy(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=words) as caught:
        audio.read_info(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("container", "subtype", "codec"),
    [
        ("MP3", "MPEG_LAYER_III", "MP3"),
        ("OGG", "VORBIS", "Vorbis"),
        ("OGG", "OPUS", "Opus"),
        ("WAV", "IMA_ADPCM", "IMA_ADPCM"),
        ("WAV", "PCM_U8", None),
        ("CAF", "ALAC_16", None),
    ],
)
def test_lossy_codecs_are_named(tmp_path: Path, container: str, subtype: str, codec: str | None) -> None:
    path, samples = tmp_path / "x", 0.3 * np.sin(0.05 * np.arange(24_000))
    soundfile.write(path, samples, 48000, subtype, format=container)
    info = audio.read_info(path)
    assert info.codec == codec
    assert np.sqrt(np.mean((audio.read(path)[:24_000, 0] - samples[: info.frames]) ** 2)) < 0.02


def test_a_compressed_file_is_read_to_its_end(tmp_path: Path) -> None:
    path, sound = tmp_path / "x.mp3", 0.3 * np.sin(0.05 * np.arange(300_000))
    sound[:100_000] = 0.0
    soundfile.write(path, sound, 48000, "MPEG_LAYER_III", format="MP3", bitrate_mode="VARIABLE")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    info = audio.read_info(path)
    assert (info.header, info.announced) == ("truncated", 300_000)
    assert len(audio.read(path)) == info.frames < 250_000
    # Without the first frame, which holds the length, the length is an estimate from the silence.
    path.write_bytes(content[content.index(content[:2], 100) :])
    info = audio.read_info(path)
    assert info.header != "truncated"
    assert info.frames == pytest.approx(300_000, abs=3000)
    assert len(audio.read(path)) == info.frames


@given(
    head=st.binary(max_size=20),
    body=st.binary(max_size=60),
    parts=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 20)), max_size=3),
    reads=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 40)), max_size=5),
)
@settings(max_examples=30, deadline=None)
def test_a_spliced_file_equals_its_parts(
    tmp_path_factory: pytest.TempPathFactory,
    head: bytes,
    body: bytes,
    parts: list[tuple[int, int]],
    reads: list[tuple[int, int]],
) -> None:
    path = tmp_path_factory.mktemp("spliced") / "x"
    path.write_bytes(body.ljust(60))
    expected = head + b"".join(body.ljust(60)[first : first + size] for first, size in parts)
    with SplicedFile(path, head, *parts) as file:
        assert file.seek(0, os.SEEK_END) == len(expected)
        for at, count in reads:
            file.seek(at)
            assert file.read(count) == expected[at : at + count]
        file.seek(0)
        assert file.read() == expected


@pytest.mark.parametrize("sizes", [(500, 501), (1, 1000), (333, 0, 668)])
def test_all_chunks_of_samples_are_read(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    samples = noise(1001)
    pieces = np.split(samples, np.cumsum(sizes)[:-1])
    before = [part for piece in pieces[:-1] for part in (chunk(b"data", pcm(piece, 24)), INFO)]
    path = wav(tmp_path / "x.wav", pcm(pieces[-1], 24), fmt(24), before=before)
    np.testing.assert_array_equal(audio.read(path), samples)
    np.testing.assert_array_equal(audio.read(path, 300, 700), samples[300:700])
    assert audio.read_info(path).header == "complete"
    path.write_bytes(path.read_bytes()[:-30])
    assert audio.read_info(path).header == "truncated"
    np.testing.assert_array_equal(audio.read(path), samples[: audio.read_info(path).frames])


@pytest.mark.parametrize("extra", [0, 1, 4])
def test_a_part_of_a_sample_at_the_end_is_left_out(tmp_path: Path, extra: int) -> None:
    samples = noise(500, 2)
    path = wav(tmp_path / "x.wav", pcm(samples, 24) + b"\1" * extra, fmt(24, 2), data_size=0)
    np.testing.assert_array_equal(audio.read(path), samples)


@given(
    content=st.binary(max_size=80), magic=st.sampled_from([b"RIFF\0\0\0\0WAVE", b"RF64\0\0\0\0WAVE", b"caff\0\1\0\0"])
)
@settings(max_examples=50, deadline=None)
def test_any_bytes_give_samples_in_the_file_or_none(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, magic: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.wav"
    path.write_bytes(magic + fmt(16) * (magic[:1] == b"R") + content + b"data" + content)
    found = find_samples(path)
    for first, size in found.parts if found else ():
        assert 0 <= first <= first + size <= path.stat().st_size
