"""A server of MLflow that does not answer: found once in a run of the workflow, reported once, waited for once."""

import os
from pathlib import Path

from twinlib.errors import TrackingError, TrackingUnreachableError

OUTAGE_FILE = "TWINLIB_MLFLOW_OUTAGE"
"""Environment variable with the path of a file that exists once a process of this run of the workflow has found the
server unreachable: all others then log nothing, without waiting for it."""

_PROBE_SECONDS = 5.0


def require_server(uri: str) -> None:
    """Raise `TrackingUnreachableError` unless the server answers within seconds.

    Once it has failed to answer a process of this run of the workflow, no other process waits for it.
    """
    if not is_server(uri):
        return
    if OUTAGE_FILE in os.environ and Path(os.environ[OUTAGE_FILE]).exists():
        raise _no_answer(uri, "it failed earlier in this run")
    import requests

    try:
        status = requests.get(uri.rstrip("/") + "/health", timeout=_PROBE_SECONDS).status_code
    except requests.exceptions.SSLError:
        # The server answers. Certificates are up to the settings of MLflow.
        return
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _no_answer(uri, type(error).__name__) from error
    if status >= 500:
        raise _no_answer(uri, f"HTTP status {status}")


def forget_outage(path: Path) -> None:
    """Forget that the server was unreachable, and let the processes of this run of the workflow share a new `path`."""
    path.unlink(missing_ok=True)
    os.environ[OUTAGE_FILE] = str(path.absolute())


def _no_answer(uri: str, reason: str) -> TrackingUnreachableError:
    return _report_outage(
        f"the MLflow server {uri} does not answer ({reason}). Start it, correct `tracking.uri` or MLFLOW_TRACKING_URI, "
        "or set `tracking.enabled: false`."
    )


def _report_outage(message: str) -> TrackingUnreachableError:
    """Return the error, and note for the other processes of this run of the workflow that the server is unreachable."""
    error = TrackingUnreachableError(message)
    if OUTAGE_FILE in os.environ:
        path = Path(os.environ[OUTAGE_FILE])
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            error.is_news = False
    return error


def is_outage(uri: str, error: BaseException | None) -> bool:
    """Whether a server did not answer, or answered with a server error."""
    if not is_server(uri):
        return False
    import requests
    from mlflow.exceptions import MlflowException

    while error is not None:
        if isinstance(error, requests.RequestException | TrackingUnreachableError):
            return True
        if isinstance(error, MlflowException) and error.get_http_status_code() >= 500:  # type: ignore[no-untyped-call]
            return True
        error = error.__cause__ or error.__context__
    return False


def is_server(uri: str) -> bool:
    """Whether the URI is that of a server."""
    return uri.startswith(("http://", "https://"))


def store_error(what: str, error: Exception, uri: str) -> TrackingError:
    """Return the error of a failed call to the store, with its remedy; `what` begins the sentence."""
    if isinstance(error, TrackingError):
        return error
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    make = _report_outage if is_outage(uri, error) else TrackingError
    return make(f"{what} ({reason}). Check `tracking.uri` and MLFLOW_TRACKING_URI, or set `tracking.enabled: false`.")
