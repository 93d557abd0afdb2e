from pathlib import Path

import pytest

from twinlib.capture.takes import describe_missing_takes, existing_takes, missing_takes
from twinlib.config import Device
from twinlib.errors import CaptureError
from twinlib.excitation.take_files import find_takes, take_path


def test_reels_without_a_file_are_missing(tmp_path: Path) -> None:
    device = Device(excitation="main", takes=str(tmp_path / "{reel}" / "{reel}.wav"))
    reels = ["main-01", "main-02", "main-03"]
    there = take_path(str(device.takes), "main-02")
    there.parent.mkdir()
    there.touch()
    missing = missing_takes("silk", device, reels)
    assert missing == [(reel, tmp_path / reel / f"{reel}.wav") for reel in ("main-01", "main-03")]


def test_a_device_without_takes_is_rejected() -> None:
    with pytest.raises(CaptureError, match="silk"):
        missing_takes("silk", Device(pairs=Path("a.tsv")), [])
    with pytest.raises(CaptureError, match=r"put \{reel\}"):
        take_path("one.wav", "main-01")


def names(folder: Path, *files: str) -> None:
    folder.mkdir(exist_ok=True)
    for file in files:
        (folder / file).touch()


@pytest.mark.parametrize(
    "name",
    ["main-01.WAV", "main-01.aif", "main-01.flac", "main-01.caf", "Main-01.Wav", "main_01.wav", "main 01.aiff",
     "main-1.wav", "main01.wav", "main-01_01.wav", "main-01-02.WAV", "main-01 (3).wav", "main-01 take 2.wav",
     "MAIN-01_T003.WAV"],
)  # fmt: skip
def test_a_take_is_found_under_the_names_of_recorders(tmp_path: Path, name: str) -> None:
    names(tmp_path, name, "._main-01.wav", "main-01.txt", "main-11.wav", "main-02_01.wav", "main-010.wav", "other.wav")
    reels = ["main-01", "main-02", "main-10", "main-11"]
    assert find_takes(str(tmp_path / "{reel}.wav"), "main-01", reels) == [tmp_path / name]
    assert find_takes(str(tmp_path / "{reel}.wav"), "main-02", reels) == [tmp_path / "main-02_01.wav"]


def test_the_name_of_the_configuration_comes_first(tmp_path: Path) -> None:
    names(tmp_path, "main-01.wav", "main-01.WAV", "main-01_02.wav")
    assert find_takes(str(tmp_path / "{reel}.wav"), "main-01") == [tmp_path / "main-01.wav"]
    assert find_takes(str(tmp_path / "{reel}.WAV"), "main-01") == [tmp_path / "main-01.WAV"]
    assert find_takes(str(tmp_path / "none" / "{reel}.wav"), "main-01") == []


def test_the_name_of_another_reel_is_no_take(tmp_path: Path) -> None:
    names(tmp_path, "a-01-01.wav", "a-01-probe.wav")
    pattern = str(tmp_path / "{reel}.WAV")
    assert find_takes(pattern, "a-01", ["a-01", "a-01-01"]) == []
    assert find_takes(pattern, "a-01-01", ["a-01", "a-01-01"]) == [tmp_path / "a-01-01.wav"]


@pytest.mark.parametrize("name", ["main-11.wav", "main-012.wav"])
def test_a_number_after_digits_belongs_to_another_reel(tmp_path: Path, name: str) -> None:
    names(tmp_path, name, "main-probe2.wav")
    assert find_takes(str(tmp_path / "{reel}.wav"), "main-01", ["main-01", "main-02"]) == []
    assert find_takes(str(tmp_path / "{reel}.wav"), "main-probe") == [tmp_path / "main-probe2.wav"]


def test_the_take_of_another_device_is_left_to_it(tmp_path: Path) -> None:
    names(tmp_path, "main-01_02.wav")
    pattern, other = str(tmp_path / "{reel}.wav"), tmp_path / "main-01_02.wav"
    assert find_takes(pattern, "main-01") == [other]
    assert find_takes(pattern, "main-01", taken={other}) == []
    device = Device(excitation="main", takes=pattern)
    assert existing_takes("silk", device, ["main-01"], {other}) == {}
    assert missing_takes("silk", device, ["main-01"], {other}) == [("main-01", tmp_path / "main-01.wav")]
    assert "main-01_02" not in describe_missing_takes("silk", device, ["main-01"], Path("results"), {other})


def test_several_candidates_are_listed_and_none_is_taken(tmp_path: Path) -> None:
    device = Device(excitation="main", takes=str(tmp_path / "{reel}.wav"))
    names(tmp_path, "main-01.WAV", "main-01.aif", "main-01_01.wav", "main-02.aif", "Audio 7.wav")
    reels = ["main-01", "main-02", "main-03"]
    assert existing_takes("silk", device, reels) == {"main-02": tmp_path / "main-02.aif"}
    assert missing_takes("silk", device, reels) == [(reel, tmp_path / f"{reel}.wav") for reel in ("main-01", "main-03")]
    lines = describe_missing_takes("silk", device, reels, Path("results/excitations/main")).splitlines()
    assert "silk waits for 2 recording(s)" in lines[0]
    assert "holds main-01.WAV, main-01.aif and main-01_01.wav for the reel main-01" in lines[1]
    assert lines[1].endswith(f"leave only the right one there, or write takes: {tmp_path}/{{reel}}.WAV")
    assert (
        lines[2] == f"  play results/excitations/main/reels/main-03.wav, save the recording as {tmp_path}/main-03.wav"
    )
    assert "also holds Audio 7.wav: if one is such a recording" in lines[3]
    assert len(lines) == 5


def test_the_list_of_many_missing_takes_is_cut(tmp_path: Path) -> None:
    device = Device(excitation="main", takes=f"{tmp_path}/{{reel}}.wav")
    reels = [f"main-{number:02d}" for number in range(1, 41)]
    lines = describe_missing_takes("silk", device, reels, Path("results/excitations/main")).splitlines()
    assert len(lines) == 9
    assert "main-06.wav" in lines[6]
    assert lines[7] == "  and so on for 34 more reels"
    assert len(describe_missing_takes("silk", device, reels[:6], Path("x")).splitlines()) == 8
