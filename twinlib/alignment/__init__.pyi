from .pipeline import align as align
from .plot import plot_alignment as plot_alignment
from .probe_take import align_probe_take as align_probe_take
from .result import Alignment as Alignment
from .result import Excluded as Excluded
from .time_map import TimeMap as TimeMap
from .warp import WarpedReader as WarpedReader
from .warp import reference_alignment as reference_alignment
