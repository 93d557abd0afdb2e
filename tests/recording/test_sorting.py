"""A folder of recordings under any names: which reel is in which file, where, and where it goes."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.recording.conftest import RATE, REELS, overdrive, reel_samples, silence
from twinlib import audio
from twinlib.errors import CaptureError, TwinError
from twinlib.recording.content import Identified, KnownReel, identify_reels, read_known_reel
from twinlib.recording.placement import Placement, describe_placements, place, plan_placements

NAMES = [f"main-{number:02d}" for number in range(1, REELS + 1)]


@pytest.fixture(scope="module")
def reels(main: Path) -> list[KnownReel]:
    return [read_known_reel(name, main / "reels" / f"{name}.wav") for name in NAMES]


@pytest.fixture(scope="module")
def folder(main: Path, foreign: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[str]]]:
    """Recordings under random names, two reels in one file, one twice, one of another excitation, one silent."""
    made = tmp_path_factory.mktemp("recorded")
    random = np.random.default_rng(5)

    def take(folder: Path, *names: str, lead: float | None = None) -> audio.Signal:
        parts = [silence(random.uniform(0.2, 2.5) if lead is None else lead)]
        for name in names:
            parts += [reel_samples(folder, name), silence(random.uniform(0.2, 1.0))]
        return overdrive(np.concatenate(parts), int(random.integers(1 << 30)))

    content: dict[str, list[str]] = {}
    order = [NAMES[number] for number in random.permutation(REELS)]
    plan = [[order[0], order[1]], *([name] for name in order[2:]), [order[4]]]
    for number, names in enumerate(plan):
        digest = hashlib.sha256(str(number).encode()).hexdigest()[:8]
        samples = take(main, *names)
        if number == 3:
            # An interface at another rate.
            soundfile.write(made / f"{digest}.wav", soxr.resample(samples, RATE, 48000), 48000, "PCM_24")
            content[f"{digest}.wav"] = names
        elif number == 5:
            soundfile.write(made / f"{digest}.flac", samples, RATE, "PCM_24")
            content[f"{digest}.flac"] = names
        else:
            soundfile.write(made / f"{digest}.wav", samples, RATE, "PCM_24")
            content[f"{digest}.wav"] = names
    soundfile.write(made / "zz-foreign.wav", take(foreign, "main-01"), RATE, "PCM_24")
    soundfile.write(made / "zz-silent.wav", silence(20.0), RATE, "PCM_24")
    content |= {"zz-foreign.wav": [], "zz-silent.wav": []}
    return made, content


@pytest.fixture(scope="module")
def found(reels: list[KnownReel], folder: tuple[Path, dict[str, list[str]]]) -> list[Identified]:
    return [identify_reels(path, reels) for path in sorted(folder[0].iterdir())]


def test_every_reel_is_recognised_by_its_content(
    found: list[Identified], folder: tuple[Path, dict[str, list[str]]]
) -> None:
    assert {each.path.name: [part.reel for part in each.parts] for each in found} == folder[1]


def test_the_offset_of_a_reel_is_exact_to_a_millisecond(found: list[Identified], main: Path) -> None:
    for each in found:
        samples = audio.read(each.path)[:, 0]
        for part in each.parts:
            dry = reel_samples(main, part.reel)
            length = (part.stop - part.start) / each.sample_rate
            assert length == pytest.approx(len(dry) / RATE, abs=1e-3)
            # The reel starts with silence: its first loud sample is the click.
            click = part.start + int(np.flatnonzero(np.abs(dry) > 0.1)[0]) * each.sample_rate / RATE
            loud = int(np.flatnonzero(np.abs(samples[max(0, part.start) :]) > 0.05)[0]) + max(0, part.start)
            assert loud == pytest.approx(click, abs=0.001 * each.sample_rate)


def test_takes_go_to_their_places_and_the_files_stay_as_they_are(
    found: list[Identified], folder: tuple[Path, dict[str, list[str]]], tmp_path: Path
) -> None:
    before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder[0].iterdir()}
    pattern = str(tmp_path / "takes" / "{reel}.wav")
    planned = plan_placements(found, pattern, {})
    for each in planned:
        if each.state == "placed":
            place(each)
    assert before == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder[0].iterdir()}
    assert sorted(path.stem for path in (tmp_path / "takes").iterdir()) == NAMES
    assert sorted(each.state for each in planned) == ["again", *["placed"] * REELS]
    lines = "\n".join(describe_placements(found, planned, {}, link=False))
    assert lines.count("cut out to") == 2
    assert "the reel came twice" in lines
    assert "zz-foreign.wav is a recording of another excitation" in lines
    assert "zz-silent.wav is silent" in lines
    # A second run changes nothing.
    existing = {path.stem: path for path in (tmp_path / "takes").iterdir()}
    again = plan_placements(found, pattern, existing)
    assert sorted(each.state for each in again) == [*["occupied"], *["there"] * REELS]


def test_a_cut_has_the_samples_of_the_file(found: list[Identified], tmp_path: Path, main: Path) -> None:
    (both,) = [each for each in found if len(each.parts) == 2]
    for each in plan_placements([both], str(tmp_path / "{reel}.wav"), {}):
        assert each.span is not None
        place(each)
        cut, whole = audio.read(each.take), audio.read(both.path)
        assert np.array_equal(cut, whole[slice(*each.span)])
        assert audio.read_info(each.take).subtype == "PCM_24"
        assert len(cut) >= len(reel_samples(main, each.part.reel))


def test_an_incomplete_take_is_used_only_if_no_complete_one_came(
    main: Path, reels: list[KnownReel], tmp_path: Path
) -> None:
    samples = overdrive(reel_samples(main, "main-02"))
    soundfile.write(tmp_path / "a.wav", samples[3 * RATE :], RATE, "PCM_24")
    soundfile.write(tmp_path / "b.wav", samples, RATE, "PCM_24")
    found = [identify_reels(tmp_path / name, reels) for name in ("a.wav", "b.wav")]
    assert [part.start for part in found[0].parts] == [pytest.approx(-3 * RATE, abs=44)]
    states = {each.source.name: each.state for each in plan_placements(found, str(tmp_path / "t/{reel}.wav"), {})}
    assert states == {"a.wav": "again", "b.wav": "placed"}
    (alone,) = plan_placements(found[:1], str(tmp_path / "t/{reel}.wav"), {})
    assert alone.state == "placed"


def test_the_music_alone_identifies_a_reel_without_clicks(main: Path, reels: list[KnownReel], tmp_path: Path) -> None:
    first, last = reels[6].clicks
    samples = overdrive(reel_samples(main, "main-07"))[first + RATE // 10 : last - RATE // 10]
    soundfile.write(tmp_path / "a.wav", samples, RATE, "PCM_24")
    (part,) = identify_reels(tmp_path / "a.wav", reels).parts
    assert part.reel == "main-07"
    assert part.start == pytest.approx(-first - RATE // 10, abs=44)


def test_a_rectifier_is_recognised(main: Path, reels: list[KnownReel], tmp_path: Path) -> None:
    samples = np.abs(reel_samples(main, "main-03"))
    soundfile.write(tmp_path / "a.wav", samples - samples.mean(), RATE, "PCM_24")
    assert [part.reel for part in identify_reels(tmp_path / "a.wav", reels).parts] == ["main-03"]


def test_existing_takes_are_never_replaced(found: list[Identified], tmp_path: Path) -> None:
    (tmp_path / "main-01.wav").write_bytes(found[0].path.read_bytes())
    existing = {"main-01": tmp_path / "main-01.wav"}
    planned = plan_placements(found, str(tmp_path / "{reel}.wav"), existing)
    states = {each.state for each in planned if each.part.reel == "main-01"}
    assert states <= {"occupied", "there"}
    if "main-01" not in [part.reel for part in found[0].parts]:
        assert states == {"occupied"}


def test_a_place_is_taken_by_any_file_or_link(found: list[Identified], tmp_path: Path) -> None:
    each = next(
        each for each in plan_placements(found, str(tmp_path / "{reel}.wav"), {}) if each.source.suffix == ".flac"
    )
    each.take.symlink_to(tmp_path / "unplugged.flac")
    for link in (False, True):
        with pytest.raises(CaptureError, match="exists and is not replaced"):
            place(each, link)
    again = plan_placements(found, str(tmp_path / "{reel}.wav"), {})
    states = {one.state for one in again if one.take == each.take}
    assert states == {"occupied"}
    assert describe_placements(found, again, {}, link=True)
    assert each.take.readlink() == tmp_path / "unplugged.flac"


def test_a_link_points_to_the_file(found: list[Identified], tmp_path: Path) -> None:
    (planned,) = [
        each
        for each in plan_placements(found, str(tmp_path / "{reel}.wav"), {})
        if each.span is None and each.source.suffix == ".flac" and each.state == "placed"
    ]
    place(planned, link=True)
    assert planned.take.is_symlink()
    assert planned.take.samefile(planned.source)
    assert planned.take.suffix == ".flac"


def test_bad_input_is_named(main: Path, reels: list[KnownReel], tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", silence(1.0), RATE, "PCM_24")
    with pytest.raises(CaptureError, match=r"a\.wav has 1 channels, no channel 2"):
        identify_reels(tmp_path / "a.wav", reels, channel=2)
    with pytest.raises(TwinError, match=r"has no reel main-99"):
        read_known_reel("main-99", main / "reels" / "main-01.wav")


def test_a_placement_of_a_whole_file_has_its_bytes(found: list[Identified], tmp_path: Path) -> None:
    planned = next(each for each in plan_placements(found, str(tmp_path / "{reel}.wav"), {}) if each.span is None)
    assert isinstance(planned, Placement)
    place(planned)
    assert planned.take.read_bytes() == planned.source.read_bytes()
