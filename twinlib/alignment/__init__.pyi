from .pipeline import align as align
from .probe_take import align_probe_take as align_probe_take
from .result import Alignment as Alignment
from .result import Excluded as Excluded
from .result import Witness as Witness
from .warp import ZERO_LAGS as ZERO_LAGS
from .warp import WarpedReader as WarpedReader
from .warp import reference_alignment as reference_alignment
