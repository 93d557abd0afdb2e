"""The section `dataset` of the configuration."""

from pydantic import Field

from twinlib.section import Section


class Dataset(Section):
    """How aligned captures are cut into segments."""

    segment_samples: int = Field(8192, ge=64, le=1 << 24)
    """Length of a segment in samples, the unit of provenance: a fault or an excluded track costs what it touches."""

    guard_samples: int = Field(12, ge=8, le=16)
    """Samples by which the wet signal is delayed against the dry one, so that it never leads; rendering strips them."""
