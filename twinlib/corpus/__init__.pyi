from .exclusions import excluded_tracks as excluded_tracks
from .exclusions import read_exclusions as read_exclusions
from .exclusions import read_tsv as read_tsv
from .index import find_sources as find_sources
from .index import index_corpus as index_corpus
from .index import source_files as source_files
from .index import write_index as write_index
from .settings import Corpus as Corpus
