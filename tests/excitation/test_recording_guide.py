from pathlib import Path

from tests.excitation.factories import small, table
from twinlib.excitation.cue_sheet import draw_cue_sheet
from twinlib.excitation.recording_guide import recording_guide


def test_the_guide_names_every_reel_every_take_and_its_duration(corpus: Path) -> None:
    drawn = draw_cue_sheet("main", small(slices=300, reel_minutes=0.1), table(corpus), set(), corpus)
    page = recording_guide("main", drawn.excitation, {"silk": "rec/silk/{reel}.wav", "fuzz": "rec/{reel}-fuzz.flac"})
    reels = drawn.excitation["reels"]
    assert len(reels) > 1
    for reel in reels:
        assert f"`{reel}.wav`" in page
        assert f"`rec/silk/{reel}.wav`" in page
        assert f"`rec/{reel}-fuzz.flac`" in page
    assert "44100 Hz" in page
    assert "24 bit" in page
    assert page.index("### fuzz") < page.index("### silk")
    assert page == recording_guide(
        "main", drawn.excitation, {"fuzz": "rec/{reel}-fuzz.flac", "silk": "rec/silk/{reel}.wav"}
    )


def test_durations_are_formatted_as_minutes_and_hours() -> None:
    settings = small().model_dump(mode="json")
    excitation = {"settings": settings, "sample_rate": 44100, "reels": {"a-01": {"frames": 44100 * 3723 - 1}}}
    assert "| 1 | `a-01.wav` | 1:02:03 |" in recording_guide("a", excitation, {})
    assert "No device" in recording_guide("a", excitation, {})
