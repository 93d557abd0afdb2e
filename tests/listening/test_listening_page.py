import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile

from tests.listening.factories import RATE, sounds
from twinlib.errors import DatasetError
from twinlib.evaluation.loudness import LoudnessMeter
from twinlib.listening import stimuli
from twinlib.listening.clips import PEAK
from twinlib.listening.listening_page import (
    render_abx,
    render_head,
    render_listening_page,
    render_mushra,
    render_null_test,
)
from twinlib.listening.spectrograms import COLOURS, compute_spectrogram
from twinlib.listening.stimuli import ANCHORS, LABELS, design_low_pass, prepare_excerpt
from twinlib.plotting import DEVICE, TWIN


@pytest.fixture(scope="module")
def given():
    return sounds()


@pytest.fixture(scope="module")
def prepared(given):
    return prepare_excerpt(given)


@pytest.fixture(scope="module")
def page(prepared):
    return render_listening_page("silk, small", [prepared])


def decoded(clip):
    samples, rate = soundfile.read(io.BytesIO(clip.flac))
    assert rate == RATE
    return samples


def embedded(page):
    return json.loads(re.search(r'id="tw-data">(.*?)</script>', page, re.S).group(1))


def lufs(samples):
    meter = LoudnessMeter(RATE)
    meter.add(samples.astype(np.float32))
    return meter.lufs()


class Reader(HTMLParser):
    """All tags with their attributes; asserts that tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "link", "input", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_equal_excerpts_give_equal_text(given, prepared, page):
    assert render_listening_page("silk, small", [prepare_excerpt(sounds())]) == page
    assert render_head([prepare_excerpt(sounds(seed=1))]) != render_head([prepared])
    assert render_abx([prepared], 2) != render_abx([prepared])


def test_page_is_self_contained(page):
    tags = Reader(page).tags
    links = [value for _, found in tags for key, value in found.items() if key in {"src", "href"}]
    assert len(links) == 5
    assert all(link.startswith("data:") for link in links)
    assert "http:" not in page
    assert "https:" not in page
    assert "default-src 'none'" in page
    assert "{{" not in re.sub(r"<script.*?</script>", "", page, flags=re.S)


def test_classes_are_prefixed_and_ids_unique(page):
    tags = Reader(page).tags
    classes = {name for _, found in tags for name in found.get("class", "").split()}
    assert classes
    assert all(name.startswith("tw") for name in classes)
    assert [found["id"] for _, found in tags if "id" in found] == ["tw-data"]


@pytest.fixture
def no_pictures(monkeypatch):
    """Skip the drawing of spectrograms, for tests of other parts."""
    monkeypatch.setattr(stimuli, "draw_spectrograms", lambda signals, _: dict.fromkeys(signals, b""))


def test_titles_are_escaped(no_pictures):
    bad = '</script><img src="http://x">&'
    page = render_listening_page(bad, [prepare_excerpt(sounds(bad, 0.3))] * 2)
    assert '<img src="http' not in page
    assert page.count("</script>") == 2
    assert [one["title"] for one in embedded(page)["excerpts"]] == [bad, bad]
    Reader(page)


def test_embedded_flac_decodes_to_the_signals(given, prepared, page):
    signals = {name: getattr(given, name) for name in ("dry", "device", "twin", "linear")}
    signals["difference"] = given.twin - given.device
    assert list(prepared.stimuli) == list(LABELS)
    for name, signal in signals.items():
        clip = prepared.stimuli[name]
        step = 10 ** (-clip.stored_db / 20) / 2**15
        np.testing.assert_allclose(decoded(clip) * 10 ** (-clip.stored_db / 20), signal, rtol=0, atol=0.51 * step)
        found = embedded(page)["excerpts"][0]["stimuli"][name]
        assert base64.b64decode(found["flac"]) == clip.flac
        assert (found["true"], found["matched"]) == (clip.true_gain, clip.matched_gain)


def test_stored_difference_uses_the_full_range(prepared):
    assert np.max(np.abs(decoded(prepared.stimuli["difference"]))) == pytest.approx(PEAK, abs=1e-4)


def test_true_gains_restore_relative_levels(given, prepared):
    # One common gain, independent of the scale of each file.
    headroom = 10 ** (prepared.headroom_db / 20)
    for name in ("dry", "device", "twin", "linear"):
        played = decoded(prepared.stimuli[name]) * prepared.stimuli[name].true_gain
        np.testing.assert_allclose(played, headroom * getattr(given, name), rtol=0, atol=1e-4)


def test_matched_stimuli_are_as_loud_as_the_device(prepared):
    device = lufs(decoded(prepared.stimuli["device"]) * prepared.stimuli["device"].matched_gain)
    for name, clip in prepared.stimuli.items():
        if name != "difference":
            assert lufs(decoded(clip) * clip.matched_gain) == pytest.approx(device, abs=0.01)
    assert abs(prepared.stimuli["dry"].match_db) > 3


def test_playback_does_not_clip(prepared):
    for clip in prepared.stimuli.values():
        peak = np.max(np.abs(decoded(clip)))
        assert peak * max(clip.true_gain, clip.matched_gain) <= PEAK + 1e-3


def test_boost_is_limited_to_full_scale(prepared, page):
    most = embedded(page)["excerpts"][0]["max_boost_db"]
    clip = prepared.stimuli["difference"]
    peak = np.max(np.abs(decoded(clip))) * clip.true_gain
    assert PEAK * 10 ** (-0.11 / 20) <= peak * 10 ** (most / 20) <= PEAK + 1e-4


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
@pytest.mark.parametrize("edge", ANCHORS.values())
def test_anchors_are_steep_low_passes(rate, edge):
    fir = design_low_pass(edge, rate)
    assert fir == pytest.approx(fir[::-1], abs=1e-12)
    frequencies = np.fft.rfftfreq(1 << 16, 1 / rate)
    gain = 20 * np.log10(np.maximum(np.abs(np.fft.rfft(fir, 1 << 16)), 1e-12))
    assert np.max(np.abs(gain[frequencies <= edge])) < 0.1
    assert np.max(gain[frequencies >= edge + 500]) < -75


def test_anchors_are_aligned_with_the_device(given, prepared):
    for name, edge in ANCHORS.items():
        clip = prepared.stimuli[name]
        anchor = decoded(clip) * 10 ** (-clip.stored_db / 20)
        spectrum, device = np.fft.rfft(anchor), np.fft.rfft(given.device)
        frequencies = np.fft.rfftfreq(len(anchor), 1 / RATE)
        below, above = frequencies < edge - 200, frequencies > edge + 700
        error = np.sum(np.abs(spectrum[below] - device[below]) ** 2) / np.sum(np.abs(device[below]) ** 2)
        assert error < 1e-4
        left = np.sum(np.abs(spectrum[above]) ** 2) / np.sum(np.abs(device[above]) ** 2)
        assert left < 1e-3


def test_low_sample_rates_omit_anchors():
    assert set(prepare_excerpt(sounds(rate=14000)).stimuli) == set(LABELS) - {"mid_anchor"}


def test_page_of_a_perfect_twin(given, no_pictures):
    perfect = dataclasses.replace(given, twin=given.device)
    assert "identical to that of the device" in render_null_test([prepare_excerpt(perfect)])


def test_page_of_silence(given):
    nothing = np.zeros(2000, np.float32)
    silent = prepare_excerpt(dataclasses.replace(given, dry=nothing, device=nothing, twin=nothing, linear=nothing))
    for clip in silent.stimuli.values():
        assert (clip.lufs, clip.rms_db, clip.match_db) == (None, None, 0.0)
        assert not decoded(clip).any()
    Reader(render_null_test([silent]))


def test_short_excerpts_are_matched_by_rms(given):
    names = ("dry", "device", "twin", "linear")
    short = prepare_excerpt(dataclasses.replace(given, **{name: getattr(given, name)[:4000] for name in names}))
    power = {name: np.mean((decoded(clip) * clip.matched_gain) ** 2) for name, clip in short.stimuli.items()}
    assert short.stimuli["dry"].lufs is None
    assert power["dry"] == pytest.approx(power["device"], rel=1e-3)


def test_level_of_the_difference_is_displayed(given, prepared):
    difference = given.twin - given.device
    rms = 10 * np.log10(np.mean(difference**2) / np.mean(given.device**2))
    loudness = lufs(difference) - lufs(given.device)
    text = render_null_test([prepared]).replace("−", "-")
    assert f"{rms:+.1f} dB in rms" in text
    assert f"{loudness:+.1f} dB in loudness" in text


def test_spectrograms_have_the_colours_of_the_figures():
    assert (COLOURS["device"], COLOURS["twin"]) == (DEVICE, TWIN)


def test_spectrogram_of_a_full_scale_sine_is_0_db():
    sine = np.sin(2 * np.pi * 64 * np.arange(RATE) / 2048).astype(np.float32)
    levels = compute_spectrogram(sine, RATE)
    middle = levels[:, levels.shape[1] // 2]
    assert int(np.argmax(middle)) == 64
    assert middle[64] == pytest.approx(0.0, abs=0.01)
    assert np.max(middle[:60]) < -90


def test_parts_render_separately(prepared):
    for part, kind in (
        (render_null_test([prepared]), "null-test"),
        (render_abx([prepared], 5), "abx"),
        (render_mushra([prepared]), "mushra"),
    ):
        found = [attributes.get("data-tw-part") for _, attributes in Reader(part).tags]
        assert [kind] == [name for name in found if name]
    assert 'value="5"' in render_abx([prepared], 5)
    assert render_head([prepared]).count("<style>") == 1


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"twin": np.zeros(3, np.float32)}, "equal length"),
        ({"dry": np.zeros((4, 2), np.float32)}, "mono"),
        ({"device": np.zeros(0, np.float32)}, "equal length|shape"),
        ({"linear": np.full(2 * RATE, np.nan, np.float32)}, "NaN"),
    ],
)
def test_invalid_excerpt_raises(given, change, word):
    with pytest.raises(DatasetError, match=word):
        dataclasses.replace(given, **change)


def test_page_without_excerpts_or_with_two_rates_raises(prepared):
    with pytest.raises(DatasetError, match="there is none"):
        render_listening_page("x", [])
    with pytest.raises(DatasetError, match="16000 Hz and 22050 Hz"):
        render_listening_page("x", [prepared, prepare_excerpt(sounds(rate=16000))])
