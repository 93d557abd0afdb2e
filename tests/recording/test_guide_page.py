"""The recording guide as a page."""

from html.parser import HTMLParser
from pathlib import Path

from twinlib.contracts import EXCITATION
from twinlib.files import read_json
from twinlib.recording import render_recording_page


class Page(HTMLParser):
    """The text of a page, its tags, and the references to other files."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [str(value) for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_names_every_reel_take_and_check_and_needs_no_other_file(main: Path) -> None:
    excitation = read_json(main / "excitation.json", EXCITATION)
    takes = {"silk": "rec/silk/{reel}.wav", "a&b": "rec/<x>/{reel}.flac"}
    text = render_recording_page("main", excitation, takes)
    page = Page(text)
    assert "svg" in page.tags
    assert page.references == ["data:,"]
    for reel in excitation["reels"]:
        assert f"{reel}.wav" in page.text
        assert f'twin check "rec/silk/{reel}.wav" --reel {reel} --device silk' in page.text
        assert f"rec/<x>/{reel}.flac" in page.text
    assert "44100 Hz" in page.text
    assert "<x>" not in text
    assert text == render_recording_page("main", excitation, dict(reversed(takes.items())))
    assert "No device" in render_recording_page("main", excitation, {})
