from .harmonics import MASK_DB as MASK_DB
from .measurements import compare as compare
from .measurements import measure as measure
from .measurements import measured_sections as measured_sections
