"""`twin check` on a folder, on a file of unknown content, and on all takes of the configuration."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from tests.cli.conftest import _quiet, twin  # noqa: F401
from tests.cli.harness import Command, refused, strict_json
from tests.cli_harness import snapshot
from tests.recording.conftest import RATE, SETTINGS, overdrive, reel_samples, silence

Record = Callable[..., Path]


@pytest.fixture
def project(main: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose device waits for takes of twelve reels."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(main.parents[1], "results")
    content = {
        "corpus": {"root": "music", "layout": "folder", "licence": "CC0-1.0"},
        "excitations": {"main": SETTINGS},
        "devices": {"silk": {"excitation": "main", "takes": "recordings/silk/{reel}.wav"}},
    }
    Path("config").mkdir()
    Path("config/config.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


@pytest.fixture
def recorded(main: Path, tmp_path: Path) -> Record:
    """Write a recording of some reels into a folder."""

    def make(name: str, *reels: str) -> Path:
        parts = [silence(0.7)]
        for reel in reels:
            parts += [reel_samples(main, reel), silence(0.5)]
        path = tmp_path / "audio" / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, overdrive(np.concatenate(parts)), RATE, "PCM_24")
        return path

    return make


def test_a_folder_is_sorted_and_checked(twin: Command, project: Path, recorded: Record) -> None:  # noqa: F811
    recorded("Audio 1.wav", "main-03", "main-01")
    (project / "audio" / "notes.wav").write_bytes(b"no sound")
    code, out, err = twin("check", "audio")
    assert code == 0, out + err
    for reel in ("main-01", "main-03"):
        assert f"{reel}, cut out to recordings/silk/{reel}.wav" in out
        assert f"recordings/silk/{reel}.wav: ok" in out
    assert "notes.wav is not a readable sound file" in out
    assert "missing: main-02, main-04, main-05" in out
    before = {path: path.stat().st_mtime_ns for path in Path("recordings/silk").iterdir()}
    code, out, _ = twin("check", "audio", "--json")
    assert code == 0
    found = {each["reel"]: (each["state"], each["verdict"]) for each in strict_json(out)["takes"]}
    assert found == dict.fromkeys(("main-01", "main-03"), ("there", "ok"))
    assert before == {path: path.stat().st_mtime_ns for path in Path("recordings/silk").iterdir()}


def test_a_file_is_checked_against_the_reel_that_it_holds(
    twin: Command,  # noqa: F811
    project: Path,
    recorded: Record,
) -> None:
    path = recorded("x.wav", "main-05")
    code, out, err = twin("check", path)
    assert code == 0, err
    assert "x.wav holds the reel main-05" in err
    assert out.startswith(f"{path}: ok")
    assert not Path("recordings").exists()


def test_takes_are_judged_while_others_are_missing(
    twin: Command,  # noqa: F811
    project: Path,
    recorded: Record,
) -> None:
    Path("recordings/silk").mkdir(parents=True)
    shutil.copyfile(recorded("x.wav", "main-05"), "recordings/silk/main-05.wav")
    code, out, err = twin("check")
    assert code == 0, err
    assert out.startswith("recordings/silk/main-05.wav: ok")
    assert "silk waits for 11 recording(s)" in out


@pytest.mark.parametrize(("other", "options"), [("main-05 (2).flac", []), ("main-05_2.flac", ["--link"])])
def test_several_files_of_a_reel_beside_the_takes_stay_as_they_are(
    twin: Command,  # noqa: F811
    project: Path,
    recorded: Record,
    other: str,
    options: list[str],
) -> None:
    takes = Path("recordings/silk")
    takes.mkdir(parents=True)
    shutil.copyfile(recorded("x.flac", "main-05"), takes / "main-05.flac")
    samples, rate = soundfile.read(takes / "main-05.flac")
    soundfile.write(takes / other, 0.5 * samples, rate, "PCM_24")
    before = snapshot(takes)
    code, out, err = twin("check", takes, *options)
    assert code == 0, err
    assert "main-05, already in recordings/silk/main-05.flac" in out
    assert "not used: recordings/silk/main-05.flac is there and differs" in out
    assert "for the reel main-05: leave only the right one there, or write takes: recordings/silk/{reel}.flac" in out
    assert "missing: main-01, main-02, main-03, main-04, main-05," in out, "the workflow waits for it"
    assert snapshot(takes) == before
    assert not [path for path in takes.iterdir() if path.is_symlink()]


def test_takes_of_other_reels_under_names_near_each_other_are_sorted(
    twin: Command,  # noqa: F811
    project: Path,
    main: Path,
) -> None:
    takes = Path("recordings/silk")
    takes.mkdir(parents=True)
    held = {"main_01.wav": "main-02", "main-1.WAV": "main-01"}
    for name, reel in held.items():
        soundfile.write(takes / name, overdrive(reel_samples(main, reel)), RATE, "PCM_24", format="WAV")
    code, out, _ = twin("record", "--dry-run")
    assert code == 0
    assert "recordings/silk holds main-1.WAV and main_01.wav for the reel main-01: leave only" in out
    code, out, err = twin("check", takes)
    assert code == 0, out + err
    for name, reel in held.items():
        assert f"{reel}, copied to recordings/silk/{reel}.wav" in out
        assert (takes / f"{reel}.wav").read_bytes() == (takes / name).read_bytes()
        assert f"recordings/silk/{reel}.wav: ok" in out
    assert "missing: main-03, main-04" in out, "the workflow finds the others by their names"


def test_a_file_under_a_name_near_that_of_a_reel_which_it_does_not_hold_is_no_take(
    twin: Command,  # noqa: F811
    project: Path,
    main: Path,
) -> None:
    takes = Path("recordings/silk")
    takes.mkdir(parents=True)
    for name, reel in {"main_01.wav": "main-02", "take.flac": "main-01"}.items():
        soundfile.write(takes / name, overdrive(reel_samples(main, reel)), RATE, "PCM_24")
    code, out, err = twin("check", takes, "--json")
    assert code == 0, err
    found = strict_json(out)
    assert [(each["take"], each["state"]) for each in found["takes"]] == [
        ("recordings/silk/main-02.wav", "placed"),
        ("recordings/silk/main-01.flac", "placed"),
    ]
    assert (
        "main-01.flac and main_01.wav for the reel main-01: leave only the right one" in found["ambiguous"]["main-01"]
    )
    assert found["missing"] == [f"main-{number:02d}" for number in (1, *range(3, 13))]
    code, out, _ = twin("check", takes)
    assert code == 0
    assert "main_01.wav is the take of main-01 by its name" not in out, "it no longer is"


def test_options_apply_or_are_refused(twin: Command, project: Path, recorded: Record) -> None:  # noqa: F811
    path = recorded("x.wav", "main-05")
    refused(
        twin("check", "--reel", "main-05", "--channel", "0", "--reference-channel", "2", "--plot", "a.svg", "--link"),
        "leave out --reel and --channel and --reference-channel and --plot and --link",
    )
    refused(twin("check", path, "--link"), "single take", "leave out --link")
    refused(twin("check", path, "--channel", "0"), "there is no channel 0")
    refused(twin("check", "audio", "--plot", "a.svg"), "audio is a folder", "leave out --plot")
    refused(twin("check", "audio", "--reference-channel", "0"), "there is no channel 0")
    assert not Path("a.svg").exists()


def test_a_folder_is_checked_at_the_given_channel(twin: Command, project: Path, recorded: Record) -> None:  # noqa: F811
    path = recorded("x.wav", "main-05")
    device, _ = soundfile.read(path)
    soundfile.write(path, np.stack([np.zeros_like(device), device], axis=1), RATE, "PCM_24")
    code, out, err = twin("check", "audio", "--channel", "2")
    assert code == 0, out + err
    assert "recordings/silk/main-05.wav: ok" in out


def test_wrong_use_is_explained(twin: Command, project: Path, recorded: Record) -> None:  # noqa: F811
    refused(twin("check", "--config", "none.yaml"), "none.yaml does not exist")
    refused(twin("check", "--device", "gold"), "no device gold", "silk")
    Path("empty").mkdir()
    refused(twin("check", "empty"), "empty holds no recording of a reel of silk")
    refused(twin("check", recorded("two.wav", "main-01", "main-02")), "holds several reels (main-01, main-02)")
    Path("results/excitations/main/reels/main-12.wav").unlink()
    refused(twin("check", "empty"), "main-12.wav does not exist", "snakemake excitation")
