from .concatenate import concatenate_clips as concatenate_clips
from .ingest import ingest_take as ingest_take
from .pairs import read_pairs as read_pairs
from .pairs import used_range as used_range
from .settings import Captures as Captures
from .takes import describe_missing_takes as describe_missing_takes
from .takes import missing_takes as missing_takes
from .takes import take_path as take_path
