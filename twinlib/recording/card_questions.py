"""The questions of a recording session on its device, whose answers become the card beside the takes."""

import datetime
from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import ValidationError

from twinlib.capture import DeviceCard
from twinlib.files import write_text

QUESTIONS = {
    "make": "Manufacturer of the device",
    "model": "Model",
    "serial": "Serial number",
    "knobs": "Positions of all knobs and switches, such as `drive 5, tone 12:30`",
    "interface": "Audio interface, with its gains and pads",
    "cables": "Signal path: cables, reamp box, DI box",
    "input_level_dbu": "Level in dBu at the input of the device of a sine that peaks at 0 dBFS (20 log10(V / 0.7746))",
    "output_level_dbu": "Level in dBu at the input of the interface of a sine that reaches 0 dBFS in the take",
    "date": "Day of the recording",
    "recorded_by": "Your name",
}
"""Question by key of the card."""

_HEAD = """\
# The card of the device {device}, for players, MLflow and the datasheet; config/README.md describes the keys.
# Edit it at any time: no dataset and no twin depends on it. Keys under `devices.{device}.card` take precedence.
"""


def ask_card(ask: Callable[[str, str], str], device: str, known: DeviceCard, interface: str) -> DeviceCard:
    """Return the card with the answers to all questions that it leaves open.

    `ask(question, default)` returns an answer, empty for none; a value that the key does not allow is asked again.
    """
    defaults = {"interface": interface, "date": datetime.date.today().isoformat()}
    answers = known.given
    for key, question in QUESTIONS.items():
        while key not in answers:
            answer = ask(question, defaults.get(key, "")).strip()
            if not answer:
                break
            try:
                DeviceCard.model_validate({**answers, key: answer})
            except ValidationError as error:
                question = f"{QUESTIONS[key]} ({error.errors()[0]['msg']})"
            else:
                answers[key] = answer
    return DeviceCard.model_validate(answers)


def write_card(path: Path, device: str, card: DeviceCard) -> None:
    """Write the card of a device as YAML with its open keys as comments."""
    lines = [_HEAD.format(device=device)]
    for key, question in QUESTIONS.items():
        value = card.given.get(key)
        lines.append(
            f"# {key}:    # {question}\n"
            if value is None
            else yaml.safe_dump({key: value}, allow_unicode=True, sort_keys=False)
        )
    others = {key: value for key, value in card.given.items() if key not in QUESTIONS}
    lines.append(yaml.safe_dump(others, allow_unicode=True) if others else "")
    write_text(path, "".join(lines))
