"""`python -m twinlib.tracking.ui` with stand-ins for MLflow's server and the browser."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from twinlib.errors import TrackingError
from twinlib.tracking import ui


class Server:
    """Stands in for the process of the server."""

    started: list[list[str]]
    code: int | None

    def __init__(self, command: list[str]) -> None:
        Server.started.append(command)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def poll(self) -> int | None:
        return Server.code

    def wait(self) -> int:
        return Server.code or 0


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The opened pages."""
    opened: list[str] = []
    Server.started, Server.code = [], None
    monkeypatch.setattr("subprocess.Popen", Server)
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(ui, "comparison_page", lambda uri: "/#/page")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return opened


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start(monkeypatch: pytest.MonkeyPatch, *words: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["ui", *map(str, words)])
    ui.main()


def test_a_port_in_use_is_refused(pages: list[str], busy_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrackingError, match=rf"port {busy_port} is in use: .* --port"):
        start(monkeypatch, "--port", busy_port)
    assert (pages, Server.started) == ([], [])


def test_a_server_that_fails_is_an_error(pages: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Server.code = 3
    with pytest.raises(TrackingError, match=r"ended with exit code 3"):
        start(monkeypatch, "--port", free_port())
    assert pages == []


def test_a_slow_server_is_reported(
    pages: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ui, "_SECONDS", 0)
    port = free_port()
    start(monkeypatch, "--port", port)
    assert f"once it does, open http://127.0.0.1:{port}/#/page" in capsys.readouterr().err
    assert pages == []


def test_the_store_is_that_of_uri(pages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://other:5000")
    start(monkeypatch, "--uri", "http://server:5000/")
    assert (pages, Server.started) == (["http://server:5000/#/page"], [])
    monkeypatch.setattr(ui, "_SECONDS", 0)
    start(monkeypatch, "--uri", f"sqlite:///{tmp_path}/a.db", "--port", free_port())
    assert f"sqlite:///{tmp_path}/a.db" in Server.started[0]
