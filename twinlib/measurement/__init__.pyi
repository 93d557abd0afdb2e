from .aliasing import measure_aliasing as measure_aliasing
from .harmonics import MASK_DB as MASK_DB
from .harmonics import SineResponse as SineResponse
from .harmonics import play_sine as play_sine
from .noise import noise_floor_esr as noise_floor_esr
from .probe_measurements import compare_harmonics as compare_harmonics
from .probe_measurements import count_sections as count_sections
from .probe_measurements import measure_probe_reel as measure_probe_reel
