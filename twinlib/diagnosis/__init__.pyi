from .amend import describe_notes as describe_notes
from .captures import compare_captures as compare_captures
from .known import apply_known as apply_known
from .known import with_constant_lag as with_constant_lag
from .pipeline import diagnose as diagnose
