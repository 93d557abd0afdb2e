import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinlib.capture.pairs import Known, Pair, aligned_range, read_pairs
from twinlib.errors import CaptureError


def listed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(text.encode())
    return path


def test_optional_columns_and_their_order(tmp_path: Path) -> None:
    text = (
        "# klon, gain at half\n\nwet\tcapture\tdry\tstart\tstop\tclip_samples\tsplit\tchannel\r\n"
        "w.wav\ta.1\td.wav\t0\t44100\t11025\ttrain\t2\r\n# more\n"
        "w.wav\ta-2\td.wav\t44100\t\t\t\t\nmy wet.wav\tb\td é.wav\n"
    )
    assert read_pairs(listed(tmp_path, text)) == [
        Pair("a.1", Path("d.wav"), Path("w.wav"), "train", 2, 0, 44100, 11025),
        Pair("a-2", Path("d.wav"), Path("w.wav"), None, 1, 44100, None, None),
        Pair("b", Path("d é.wav"), Path("my wet.wav")),
    ]


def test_what_the_user_knows_is_read(tmp_path: Path) -> None:
    text = (
        "capture\tdry\twet\tlag\tsame_clock\tpolarity\taccept\n"
        "a\td\tw\t-2.5\tyes\t-1\ta gate, by ear {exact}\nb\td\tw\t\tno\t+1\t\nc\td\tw\n"
    )
    assert [pair.known for pair in read_pairs(listed(tmp_path, text))] == [
        Known(-2.5, True, -1, "a gate, by ear {exact}"),
        Known(None, False, 1, None),
        Known(),
    ]


def test_channels_default_to_those_of_the_device(tmp_path: Path) -> None:
    text = (
        "capture\tdry\twet\tchannel\treference_channel\n"
        "none\td.wav\tw.wav\t\t\nchannel\td.wav\tw.wav\t4\t\nboth\td.wav\tw.wav\t1\t2\n"
    )
    path = listed(tmp_path, text)
    assert [(pair.channel, pair.reference_channel) for pair in read_pairs(path, 3, 5)] == [(3, 5), (4, 5), (1, 2)]
    assert [(pair.channel, pair.reference_channel) for pair in read_pairs(path)] == [(1, None), (4, None), (1, 2)]
    with pytest.raises(CaptureError, match=r"line 3: channel 4 cannot be both the device's and the loop-back's"):
        read_pairs(path, reference_channel=4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("# nothing\n", "empty"),
        ("capture\tdry\twet\n", "no pair"),
        ("capture dry wet\na b c\n", "tabs, not spaces"),
        ("capture\tdry\n", "no column wet"),
        ("capture\tdry\twet\tgain\n", "'gain' is unknown"),
        ("capture\tdry\twet\tdry\n", "given twice"),
        ("capture\tdry\twet\na\td.wav\n", "line 2: wet is empty"),
        ("capture\tdry\twet\na\td\tw\tx\n", "line 2: 4 fields"),
        ("capture\tdry\twet\na\td\tw\n#\na\td\tw\n", "line 4: the capture a is already in line 2"),
        ("capture\tdry\twet\na/b\td\tw\n", "letters, digits"),
        ("capture\tdry\twet\n..\td\tw\n", "letters, digits"),
        ("capture\tdry\twet\tsplit\na\td\tw\tvalidation\n", "train, valid or test"),
        ("capture\tdry\twet\tchannel\na\td\tw\t0\n", "channel is '0'"),
        ("capture\tdry\twet\treference_channel\na\td\tw\tleft\n", "reference_channel is 'left'"),
        ("capture\tdry\twet\treference_channel\na\td\tw\t1\n", "line 2: channel 1 cannot be"),
        ("capture\tdry\twet\tstart\na\td\tw\t-1\n", "start is '-1'"),
        ("capture\tdry\twet\tstart\tstop\na\td\tw\t10\t10\n", "is not greater than start"),
        ("capture\tdry\twet\tclip_samples\na\td\tw\t1.5\n", "integer"),
        ("capture\tdry\twet\tlag\na\td\tw\tnan\n", "lag is 'nan'"),
        ("capture\tdry\twet\tsame_clock\na\td\tw\ttrue\n", "yes or no"),
        ("capture\tdry\twet\tpolarity\na\td\tw\t0\n", "1 or -1"),
        ("capture\tdry\twet\tlag\tsame_clock\na\td\tw\t3\tno\n", "only for files on one clock"),
        ("capture\tdry\twet\na\tdry {live}.wav\tw\n", "line 2: 'dry {live}.wav' contains '{'.*rename the file"),
        ("capture\tdry\twet\na\td\t<take>.wav\n", "line 2: '<take>.wav' contains '<take>'.*rename the file"),
        # A file that is no table may have very long lines.
        ("{" + "x" * 200_000 + "}\n", "separate columns by tabs"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(CaptureError, match=words) as caught:
        read_pairs(listed(tmp_path, text))
    assert "pairs.tsv" in str(caught.value)


def test_pairs_of_the_same_files_are_aligned_on_their_common_range() -> None:
    files = (Path("d.wav"), Path("w.wav"))
    pairs = [Pair("a", *files, start=100, stop=300), Pair("b", *files, start=300, stop=900)]
    assert [aligned_range(pairs, pair) for pair in pairs] == [(100, 900)] * 2
    others = [Pair("c", Path("d.wav"), Path("x.wav")), Pair("d", *files, channel=2, start=5)]
    assert [aligned_range([*pairs, *others], pair) for pair in others] == [(0, None), (5, None)]
    assert aligned_range([*pairs, Pair("e", *files, start=50)], pairs[0]) == (50, None)


@given(st.binary(max_size=200))
def test_any_file_content_gives_pairs_or_a_capture_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("pairs") / "pairs.tsv"
    path.write_bytes(b"capture\tdry\twet\n" + content)
    with contextlib.suppress(CaptureError):
        assert all(pair.capture for pair in read_pairs(path))


def test_a_missing_list_is_reported(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="does not exist"):
        read_pairs(tmp_path / "none.tsv")
    with pytest.raises(CaptureError, match="not readable"):
        read_pairs(tmp_path)
