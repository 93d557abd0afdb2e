from .crate import read_crate as read_crate
from .crate import write_crate as write_crate
from .croissant import check_croissant as check_croissant
from .croissant import write_croissant as write_croissant
from .segment import export_segment as export_segment
