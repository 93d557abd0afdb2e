"""The contact sheet: verdicts, marks and words of good, damaged and useless takes."""

import numpy as np
import pytest

from tests.cli.harness import make_reel, take_of, wav
from tests.workflow.project import RATE
from twinlib import audio
from twinlib.alignment import align
from twinlib.capture import ingest_take
from twinlib.reports import SheetTake, render_contact_sheet


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SheetTake]:
    folder = tmp_path_factory.mktemp("takes")
    samples, clicks = make_reel(1)
    reel = wav(folder / "reel.wav", samples)
    good = take_of(samples)
    clipped = np.clip(2.0 * good, -0.5, 0.5) * 2.0
    dropout = np.delete(good, slice(4 * RATE, 4 * RATE + 200))
    made = {}
    for name, signal in {"good": good, "clipped": clipped, "dropout": dropout, "silent": 1e-6 * good}.items():
        path = wav(folder / f"{name}.wav", signal.astype(np.float32))
        take = ingest_take(path, reel=reel)
        made[name] = SheetTake(name, take.to_dict(), align(reel, path, clicks=clicks))
    assert audio.read_info(reel).sample_rate == RATE
    return made


def card(page: str, name: str) -> str:
    return page[page.index(f"<h2>{name} ") :].split("</section>")[0]


def test_every_take_has_its_verdict_in_words_and_colour(takes: dict[str, SheetTake]) -> None:
    page = render_contact_sheet("silk", list(takes.values()), ["main-05", "main-06"])
    assert '<section class="ok">\n<h2>good <span>good</span>' in page
    assert '<section class="suspect">\n<h2>dropout <span>usable, with reservations</span>' in page
    assert '<section class="refused">\n<h2>silent <span>not usable: record it again</span>' in page
    assert "1 good, 2 usable, with reservations, 1 not usable, 2 not recorded yet: main-05, main-06" in page
    assert page == render_contact_sheet("silk", list(takes.values()), ["main-05", "main-06"])
    assert "http:" not in page
    assert "https:" not in page


def test_faults_are_marked_at_their_place_on_the_reel(takes: dict[str, SheetTake]) -> None:
    page = render_contact_sheet("silk", list(takes.values()))
    assert "<rect" not in card(page, "good")
    assert card(page, "good").count("<polyline") == 1
    assert card(page, "dropout").count("<polyline") == 2
    assert 'class="clip"' in card(page, "clipped")
    assert " samples: at 1.1, " in card(page, "clipped")
    marked = card(page, "dropout")
    assert "left out: " in marked
    x = float(marked.split('class="out" x="')[1].split('"')[0])
    frames = takes["dropout"].alignment.dry_frames
    # 4 s of the take, which starts 4321 samples before the reel.
    assert x == pytest.approx(640 * (4 * RATE - 4321) / frames, abs=10)


def test_names_are_escaped(takes: dict[str, SheetTake]) -> None:
    page = render_contact_sheet("<b>", [SheetTake("<i>", takes["good"].take, takes["good"].alignment)])
    assert "<i>" not in page
    assert "<b>" not in page
