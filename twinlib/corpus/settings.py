"""The section `corpus` of the configuration."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from twinlib.section import Section

AudioWord = Literal["mix", "stems", "raw"]


MEDLEYDB_LICENCE = "CC BY-NC-SA 4.0"
"""The licence of MedleyDB v1 and v2 (Bittner et al., ISMIR 2014 and 2016): the metadata has no key for it."""


class Corpus(Section):
    """The music that excitations are made of."""

    root: Path
    """Folder of the corpus: for `medleydb` the one that holds `Audio/`. No file outside it is ever read as audio."""

    layout: Literal["medleydb", "folder"] = "medleydb"
    """`medleydb` (v1 and v2), or `folder`: any tree of WAV, FLAC, AIFF or OGG, one folder an artist."""

    audio: tuple[AudioWord, ...] = Field(default=("mix",), min_length=1)
    """Which files of a track to use: `mix`, `stems`, `raw`. A plain folder has only mixes."""

    licence: str | None = Field(default=None, min_length=1)
    """Licence of every track; by default CC BY-NC-SA 4.0 for `medleydb`. A plain folder must name its own."""

    licences: Path | None = None
    """A TSV file (track_id, licence) that overrides the licence track by track; by default none."""

    metadata: Path | None = None
    """One more folder to look for `*_METADATA.yaml` in, such as the medleydb package's `data/Metadata`; by default
    they are looked for beside the audio and in `Metadata/`."""

    exclude: Path | None = None
    """A TSV file (track_id, reason, date) of tracks that must not be used; by default none."""

    exclude_artists: tuple[str, ...] = ()
    """Artists that must not be used; case and spacing do not matter."""

    exclude_genres: tuple[str, ...] = ()
    """Genres that must not be used; case and spacing do not matter."""

    exclude_bleed: bool = False
    """Leave out tracks whose stems hear each other (`has_bleed: yes`)."""

    @field_validator("audio")
    @classmethod
    def _once(cls, audio: tuple[AudioWord, ...]) -> tuple[AudioWord, ...]:
        if len(set(audio)) < len(audio):
            raise ValueError("name each of mix, stems, raw at most once")
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
        """The licence of a track that `licences` does not name."""
        return self.licence or MEDLEYDB_LICENCE
