"""The section `dataset` of the configuration."""

from pydantic import Field

from twinlib.section import Section


class Dataset(Section):
    """How aligned captures are cut into segments."""

    segment_samples: int = Field(8192, ge=64, le=1 << 24)
    """Length of a segment in samples, the unit of provenance. A fault or excluded track removes every segment it
    overlaps."""

    guard_samples: int = Field(12, ge=8, le=16)
    """Delay of the wet signal in samples, so that it never leads the dry signal. Rendering removes it."""
