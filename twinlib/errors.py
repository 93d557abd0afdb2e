"""The errors of the library: each is a sentence for a musician, and programs end with it and exit code 1."""


class TwinError(Exception):
    """What is wrong, in which file, where, and what to do; the message is complete and needs no traceback."""


class ConfigError(TwinError):
    """A key of the configuration is unknown, missing or out of range."""


class AudioError(TwinError):
    """A sound file cannot be read, or is not what it must be."""


class CorpusError(TwinError):
    """The corpus, its metadata or one of its tables is unusable."""


class ExcitationError(TwinError):
    """No excitation can be made of this corpus with these settings."""


class CaptureError(TwinError):
    """A take or a pair is missing, malformed or useless."""


class AlignmentError(TwinError):
    """A wet signal cannot be put on the clock of its dry signal."""


class DatasetError(TwinError):
    """Segments, shards or their manifest are missing, malformed or too few."""


class LeakError(DatasetError):
    """Two splits share a track, an artist or a sample."""


class ModelError(TwinError):
    """A network cannot be built, or a twin's file cannot be read."""


class TrainingError(TwinError):
    """A training cannot start, cannot resume or has diverged."""


class DivergedError(TrainingError):
    """A training left the finite numbers on data that are finite: its rates are too high for it."""


class TrackingError(TwinError):
    """The experiment store cannot be opened or written."""


class TrackingUnreachableError(TrackingError):
    """The MLflow server does not answer."""


class AuditError(TwinError):
    """A results folder cannot answer an auditor's question."""


class LicenceError(AuditError):
    """The licences of the music do not allow an intended use of what was made of it."""
