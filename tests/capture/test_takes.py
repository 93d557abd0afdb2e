from pathlib import Path

import pytest

from twinlib.capture.takes import missing_takes
from twinlib.config import Device
from twinlib.errors import CaptureError
from twinlib.excitation.take_files import take_path


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
