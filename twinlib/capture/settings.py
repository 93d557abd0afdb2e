"""Settings of captures: where the recordings of a device are and how they are used."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from twinlib.section import PlainPath, Section, require_plain


class Captures(Section):
    """The captures of a device: takes of the reels of an excitation, or pairs of dry and wet files."""

    excitation: str | None = None
    """The excitation whose reels were played through the device; for `takes` and `simulate`."""
    takes: str | None = None
    """The recordings of the reels; `{reel}` is replaced by the name of the reel: `recordings/silk/{reel}.wav`. A file
    with another suffix, in other case or with the number of a take at its end is found too, if it is the only one."""
    pairs: PlainPath | None = None
    """A TSV of dry/wet pairs that were not made from a reel: capture, dry, wet, and optionally split, channel, ..."""
    settings: dict[str, str | int | float | bool] = {}
    """The knob positions of the device during the recording, by name, as written: `12:30` and `on` need no quotes. They
    are stored with every segment."""
    channel: int = Field(default=1, ge=1)
    """The channel of the wet files to use, counted from 1."""
    reference_channel: int | None = Field(default=None, ge=1)
    """The channel of the wet files, counted from 1, that recorded the dry signal through a loop-back cable from the
    interface's output to its input. It then replaces the dry signal. Null if there is none."""
    repair: list[Literal["polarity", "gain", "dc"]] = ["polarity"]
    """Corrections of the wet signal by alignment; all other properties are left to the twin. Hum is measured and
    reported but never removed, because that would remove music too. A take of a probe reel gets the gain and DC
    correction of the music takes."""

    @field_validator("takes")
    @classmethod
    def _plain(cls, takes: str | None) -> str | None:
        if takes is not None:
            require_plain(re.sub("[{}]", "", takes))
        return takes

    @model_validator(mode="after")
    def _valid_pattern(self) -> Self:
        if self.takes is None:
            return self
        if self.takes.replace("{reel}", "").count("{") + self.takes.count("}") != self.takes.count("{reel}"):
            raise ValueError(f"takes is {self.takes!r}: {{reel}} is the only text allowed in braces")
        if "{reel}" not in self.takes:
            raise ValueError(f"takes is {self.takes!r}: put {{reel}} where the file name holds the name of the reel")
        return self

    @model_validator(mode="after")
    def _separate_reference(self) -> Self:
        if self.reference_channel is not None and self.reference_channel == self.channel:
            raise ValueError(
                f"reference_channel is {self.reference_channel}, which is the device's own `channel` too: give the "
                "channel that recorded the dry signal"
            )
        return self
