"""A server that refuses, hangs or answers with errors: one warning, a bounded wait, and nothing else stops."""

import json
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import pytest

from twinlib.errors import TrackingError, TrackingUnreachableError
from twinlib.files import read_json, write_json
from twinlib.tracking import find_unlogged_runs, log_if_reachable, outage
from twinlib.tracking.outage import OUTAGE_FILE, forget_outage
from twinlib.tracking.runs import Run, start_run

pytestmark = pytest.mark.slow

Mode = Literal["good", "refuses", "hangs", "500", "503", "401"]
INFO = {"run_id": "r", "run_uuid": "r", "experiment_id": "1", "status": "RUNNING", "start_time": 0, "artifact_uri": "a"}
RUN = {"run": {"info": {**INFO, "lifecycle_stage": "active"}, "data": {}}}
ANSWERS = {
    "get-by-name": {"experiment": {"experiment_id": "1", "name": "silk", "lifecycle_stage": "active"}},
    "create": RUN,
}
DEAD: tuple[Mode, ...] = ("refuses", "hangs", "500", "503")


class Server:
    """A small MLflow server, good until `mode` is set."""

    def __init__(self) -> None:
        self.mode: Mode = "good"
        self.requests = 0
        self.ended = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                mode = outer.mode
                if mode == "hangs":
                    outer.ended.wait(60)
                if mode in ("refuses", "hangs"):
                    return
                answer = ANSWERS.get(self.path.split("?")[0].rsplit("/", 1)[-1], {})
                content = json.dumps(answer).encode() if mode == "good" else b"no answer"
                self.send_response(200 if mode == "good" else int(mode))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PATCH = do_GET

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server, and a run of the workflow with an outage file in `tmp_path`."""
    monkeypatch.setattr(outage, "_PROBE_SECONDS", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv(OUTAGE_FILE, "restored after the test")
    forget_outage(tmp_path / "mlflow" / ".outage")
    found = Server()
    yield found
    found.ended.set()
    found.http.shutdown()
    found.http.server_close()


def begin(server: Server, side: Path, strict: bool = False) -> Run:
    return start_run(server.uri, "silk", "small", side, "i" * 64, strict=strict)


@pytest.mark.parametrize("mode", DEAD)
def test_a_dead_server_is_found_once(server: Server, tmp_path: Path, mode: Mode) -> None:
    server.mode = mode
    with pytest.warns(UserWarning, match=r"does not answer .* Continuing without MLflow") as caught:
        assert begin(server, tmp_path / "run.json").run_id is None
    assert len(caught) == 1
    assert (tmp_path / "mlflow" / ".outage").exists()
    asked = server.requests
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert begin(server, tmp_path / "other.json").run_id is None
    with pytest.raises(TrackingUnreachableError, match="it failed earlier in this run"):
        begin(server, tmp_path / "other.json", strict=True)
    assert server.requests == asked


@pytest.mark.parametrize("mode", DEAD)
def test_a_server_that_dies_in_the_middle_of_a_training_stops_only_the_logging(
    server: Server, tmp_path: Path, mode: Mode
) -> None:
    run = begin(server, tmp_path / "run.json")
    assert run.run_id == "r"
    run.log_curve([{"step": 1, "loss": 1.0}])
    server.mode = mode
    with pytest.warns(UserWarning, match="Continuing without MLflow") as caught:
        run.log_curve([{"step": 2, "loss": 0.5}])
    assert len(caught) == 1
    asked = server.requests
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.log_curve([{"step": 3, "loss": 0.4}])
        run.finish()
        begin(server, tmp_path / "other.json")
    assert server.requests == asked
    assert read_json(tmp_path / "run.json", "run/1")["last_steps"] == {"": 1}


@pytest.mark.parametrize("mode", DEAD)
def test_the_last_logging_is_left_for_later(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: Mode
) -> None:
    server.mode = mode
    path = tmp_path / "twins" / "silk" / "small" / "run.json"

    def log() -> dict[str, object]:
        return {"experiment": "silk", "run_id": begin(server, tmp_path / "side.json", strict=True).run_id}

    for _ in range(2):
        write_json(path, "run/1", log_if_reachable(log, server.uri, "silk"))
    assert read_json(path, "run/1")["run_id"] is None
    assert capsys.readouterr().err.count("warning: ") == 1
    assert find_unlogged_runs(tmp_path) == [path]
    server.mode = "good"
    forget_outage(tmp_path / "mlflow" / ".outage")
    write_json(path, "run/1", log_if_reachable(log, server.uri, "silk"))
    assert read_json(path, "run/1")["run_id"] == "r"
    assert find_unlogged_runs(tmp_path) == []


def test_a_wrong_password_is_an_error(server: Server, tmp_path: Path) -> None:
    server.mode = "401"
    with pytest.raises(TrackingError) as caught:
        log_if_reachable(lambda: {"run_id": begin(server, tmp_path / "x.json", strict=True).run_id}, server.uri, "silk")
    assert not isinstance(caught.value, TrackingUnreachableError)
    assert not (tmp_path / "mlflow" / ".outage").exists()
