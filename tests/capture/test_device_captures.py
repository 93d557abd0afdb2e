from pathlib import Path

import pytest

from twinlib.capture.device_captures import find_captures, takes_of_others
from twinlib.capture.settings import Captures
from twinlib.errors import CaptureError
from twinlib.excitation.settings import Excitation

EXCITATIONS = {
    name: Excitation(seed=1, slices=60, slice_samples=8000, reel_minutes=0.15, witness=False, probe_reel=name == "main")
    for name in ("main", "other")
}
MAIN = ["main-01", "main-02"]


def folder_with(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def test_recorded_reels_are_captures_and_the_others_are_missing(tmp_path: Path) -> None:
    takes = folder_with(tmp_path / "takes", "main-02.WAV", "main-probe.wav")
    device = Captures(excitation="main", takes=f"{takes}/{{reel}}.wav", channel=2, reference_channel=1)
    found = find_captures(Path("results"), {"silk": device}, EXCITATIONS)["silk"]
    assert (found.music, found.probes) == (["main-02"], ["main-probe"])
    assert found.missing == [("main-01", takes / "main-01.wav")]
    assert f"save the recording as {takes / 'main-01.wav'}" in found.waiting
    one = found["main-02"]
    assert (one.kind, one.dry, one.wet) == (
        "take",
        Path("results/excitations/main/reels/main-02.wav"),
        takes / "main-02.WAV",
    )
    assert (one.channel, one.reference_channel, one.is_probe) == (2, 1, False)
    assert (one.cut, one.aligned, one.known) == (None, None, {})
    assert found["main-probe"].is_probe
    assert found["main-01"].wet == takes / "main-01.wav", "a missing take has the path of the configuration"
    with pytest.raises(CaptureError, match="silk has no capture main-09; known: main-01, main-02, main-probe"):
        found["main-09"]


def test_a_simulated_device_misses_no_take() -> None:
    found = find_captures(Path("out"), {"amp": Captures(excitation="main")}, EXCITATIONS)["amp"]
    assert (found.music, found.probes, found.missing, found.waiting) == (MAIN, ["main-probe"], [], "")
    assert found["main-01"].kind == "simulated"
    assert found["main-01"].wet == Path("out/devices/amp/main-01/take.wav")


def test_pairs_are_captures_with_their_range_and_what_is_known(tmp_path: Path) -> None:
    folder_with(tmp_path, "d.wav", "w.wav")
    text = "capture\tdry\twet\tsplit\tstart\tstop\tlag\n{0}\t{1}/d.wav\t{1}/w.wav\t{2}\t{3}\t{4}\t{5}\n"
    rows = text.format("one", tmp_path, "train", 100, 500, 7) + "\n".join(text.splitlines()[1:]).format(
        "two", tmp_path, "test", 500, 900, ""
    )
    (tmp_path / "pairs.tsv").write_text(rows)
    device = Captures(pairs=tmp_path / "pairs.tsv", channel=2)
    found = find_captures(Path("results"), {"box": device}, {})["box"]
    assert (found.music, found.probes, found.missing) == (["one", "two"], [], [])
    one = found["one"]
    assert (one.kind, one.dry, one.wet, one.channel) == ("pair", tmp_path / "d.wav", tmp_path / "w.wav", 2)
    assert one.cut == {"split": "train", "start": 100, "stop": 500, "clip_samples": None}
    assert one.aligned == {"start": 100, "stop": 900}
    assert (one.known, found["two"].known) == ({"lag": 7.0}, {})
    (tmp_path / "w.wav").unlink()
    with pytest.raises(CaptureError, match=r"pair one: .*w\.wav does not exist"):
        find_captures(Path("results"), {"box": device}, {})


def test_the_take_of_one_device_is_not_the_take_of_another(tmp_path: Path) -> None:
    """The second device's takes have the names that a recorder gives to further takes of the first device."""
    folder = folder_with(tmp_path / "takes", "main-01_02.wav")
    devices = {
        "silk": Captures(excitation="main", takes=f"{folder}/{{reel}}.wav"),
        "iron": Captures(excitation="main", takes=f"{folder}/{{reel}}_02.wav"),
    }
    found = find_captures(Path("results"), devices, EXCITATIONS)
    assert (found["silk"].music, found["iron"].music) == ([], ["main-01"])
    reels = {"silk": MAIN, "iron": ["main-01"]}
    assert takes_of_others("silk", devices, reels) == {folder / "main-01_02.wav"}
    assert takes_of_others("iron", devices, reels) == {folder / f"{reel}.wav" for reel in MAIN}
    devices["copy"] = devices["silk"]
    assert takes_of_others("silk", devices, {**reels, "copy": MAIN}) == {folder / "main-01_02.wav"}
