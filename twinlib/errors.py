"""Exceptions of the library. Each message is a complete sentence for the user; programs print it and exit with 1."""


class TwinError(Exception):
    """Base class. The message names the problem, the file, the position and the remedy."""


class DiskFullError(TwinError):
    """A file system has too little space for a file."""


class ConfigError(TwinError):
    """A configuration key is unknown, missing or out of range."""


class AudioError(TwinError):
    """A sound file cannot be read or written, or has invalid content."""


class CorpusError(TwinError):
    """The corpus, its metadata or one of its tables is unusable."""


class ExcitationError(TwinError):
    """An excitation cannot be made from this corpus with these settings."""


class CaptureError(TwinError):
    """A take or a pair is missing, malformed or unusable."""


class InterfaceError(TwinError):
    """An audio interface is missing, or cannot play and record as asked."""


class StalledStreamError(InterfaceError):
    """The stream of an audio interface has stopped on its own."""


class AlignmentError(TwinError):
    """A wet signal cannot be aligned with its dry signal."""


class DatasetError(TwinError):
    """Segments, shards or the manifest are missing, malformed or too few."""


class LeakError(DatasetError):
    """Two splits share a track, an artist or a sample."""


class ModelError(TwinError):
    """A network cannot be built, or a twin file cannot be read."""


class TrainingError(TwinError):
    """Training cannot start or resume."""


class DivergedError(TrainingError):
    """Loss diverged (NaN or Inf) on finite data; lower the learning rate."""


class NotLearnedError(TrainingError):
    """The error of the best twin is larger than its target: silence would be closer to the device."""


class TrackingError(TwinError):
    """The MLflow store cannot be opened or written."""


class TrackingUnreachableError(TrackingError):
    """The MLflow server does not answer, or answers with a server error."""

    is_news = True
    """Whether no process of this run of the workflow has reported it before."""


class AuditError(TwinError):
    """A results folder cannot answer an audit question."""


class LicenceError(AuditError):
    """The licences of the music do not allow the intended use."""
