from .crate import crate_summary as crate_summary
from .crate import read_crate as read_crate
from .crate import write_crate as write_crate
from .croissant import CROISSANT_FILE as CROISSANT_FILE
from .croissant import check_croissant as check_croissant
from .croissant import write_croissant as write_croissant
from .segment import export_segment as export_segment
