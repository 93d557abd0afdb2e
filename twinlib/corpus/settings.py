"""Section `corpus` of the configuration."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from twinlib.section import PlainPath, Section

AudioWord = Literal["mix", "stems", "raw"]


MEDLEYDB_LICENCE = "CC BY-NC-SA 4.0"
"""Licence of MedleyDB v1 and v2 (Bittner et al., ISMIR 2014 and 2016); the metadata does not include it."""


class Corpus(Section):
    """The music corpus."""

    root: Path
    """Corpus folder; for `medleydb` the folder where its archives were unpacked: the parent of `Audio/`, or of `V1/`
    and `V2/`, or `V1/` itself. Links to folders and files elsewhere are followed."""

    layout: Literal["medleydb", "folder"] = "medleydb"
    """`medleydb` (v1 and v2, also the selections `medleydb_melody` and `medleydb_pitch` of mirdata), or `folder`: any
    tree of WAV, FLAC, AIFF or OGG files, one folder per artist."""

    audio: tuple[AudioWord, ...] = Field(default=("mix",), min_length=1)
    """Files of a track to use: `mix`, `stems`, `raw`. The layout `folder` has only mixes."""

    licence: str | None = Field(default=None, min_length=1)
    """Licence of all tracks; CC BY-NC-SA 4.0 by default for `medleydb`, required for `folder`."""

    licences: Path | None = None
    """TSV file (track_id, licence) that overrides the licence of single tracks."""

    metadata: Path | None = None
    """Additional folder to search for `*_METADATA.yaml`. The track folder, `Metadata/` next to or above the tracks, and
    the Python package `medleydb`, if it is installed, are always searched."""

    artists: dict[str, tuple[str, ...]] = {}
    """Other names of an artist, such as `Brandon Webster: [Caitlin Michelle Remmel & Benjamin Hood]`: splits and
    exclusions treat them as one artist. Names that differ in typography, agree with the prefix of MedleyDB's track
    folders, or share a credit are joined without it; `index.json` lists similar names that are not."""

    exclude: PlainPath | None = None
    """TSV file (track_id, reason, date) of excluded tracks."""

    exclude_artists: tuple[str, ...] = ()
    """Excluded artists, under any of their names, with all tracks whose credits name them."""

    exclude_genres: tuple[str, ...] = ()
    """Excluded genres; case and spacing are ignored."""

    exclude_bleed: bool = False
    """Exclude tracks with bleed between stems (`has_bleed: yes`)."""

    @field_validator("audio")
    @classmethod
    def _once(cls, audio: tuple[AudioWord, ...]) -> tuple[AudioWord, ...]:
        if len(set(audio)) < len(audio):
            raise ValueError("list each of mix, stems and raw at most once")
        return audio

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.layout == "folder":
            if self.licence is None:
                raise ValueError("layout: folder needs a licence, such as `licence: CC0-1.0`")
            if self.audio != ("mix",):
                raise ValueError("layout: folder has only mixes: leave `audio` out")
            if self.metadata is not None:
                raise ValueError("layout: folder has no metadata: leave `metadata` out")
        return self

    @property
    def licence_of_all(self) -> str:
        """Licence of tracks not listed in `licences`."""
        return self.licence or MEDLEYDB_LICENCE
