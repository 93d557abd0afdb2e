"""Every finding code has a message, and every message is used."""

from pathlib import Path

from tests.finding_codes import used_codes
from twinlib import alignment
from twinlib.alignment.messages import MESSAGES


def test_codes_and_messages_match() -> None:
    (folder,) = alignment.__path__
    assert used_codes(sorted(Path(folder).glob("*.py"))) == MESSAGES.codes
