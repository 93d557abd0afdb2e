"""Every finding code has a message, and every message is used."""

import re
from pathlib import Path

from tests.finding_codes import used_codes, written_out
from twinlib import alignment
from twinlib.alignment.messages import MESSAGES, PAIR_MESSAGES


def test_codes_and_messages_match() -> None:
    (folder,) = alignment.__path__
    assert used_codes(sorted(Path(folder).glob("*.py"))) == MESSAGES.codes


REEL_CODES = {"other-reel", "click-mismatch", "few-clicks", "clicks-not-on-device", "click-spacing", "missing-clicks"}
REEL_CODES |= {"click-jitter", "unknown-gain", "uncertain-gain", "probe-samples-lost", "probe-samples-repeated"}
"""Findings on a reel; a pair has none."""


def test_sentences_of_pairs_mention_no_reel() -> None:
    assert MESSAGES.codes >= REEL_CODES
    for code in PAIR_MESSAGES.codes - REEL_CODES:
        sentence = written_out(PAIR_MESSAGES, code)
        assert not re.search(r"\b(reel|take|interface|buffer|cables|record again)\b", sentence), sentence
