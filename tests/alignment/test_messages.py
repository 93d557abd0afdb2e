"""Every code of a finding has a sentence, and every sentence is used."""

from pathlib import Path

from tests.finding_codes import used_codes
from twinlib import alignment
from twinlib.alignment.messages import MESSAGES


def test_codes_and_sentences_match() -> None:
    (folder,) = alignment.__path__
    assert used_codes(sorted(Path(folder).glob("*.py"))) == MESSAGES.codes
