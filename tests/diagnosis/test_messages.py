"""Every finding code has a message, and every message is used."""

from pathlib import Path

from tests.finding_codes import used_codes
from twinlib import diagnosis
from twinlib.diagnosis.messages import MESSAGES


def test_codes_and_messages_match() -> None:
    (folder,) = diagnosis.__path__
    assert used_codes(sorted(Path(folder).glob("*.py"))) == MESSAGES.codes
