"""A PostgreSQL server and an MLflow server on loopback. PostgreSQL is Debian's package postgresql."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.cluster.plugins import environment

USER = "postgres"


def programs() -> Path | None:
    """The folder of initdb and postgres; None if PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).resolve().parent if named else None


def missing() -> str:
    """Why the server cannot start; empty if it can."""
    return "" if programs() else "initdb not found: install postgresql"


@contextmanager
def postgres() -> Iterator[str]:
    """Run a server with an empty database, and end it after use; yields the URI of the database."""
    # PostgreSQL refuses to run as root, and no other user may enter pytest's folders.
    user = pwd.getpwnam(USER).pw_uid if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory() as name:
        if user is not None:
            os.chown(name, user, -1)
        with _run_postgres(Path(name), user) as uri:
            yield uri


@contextmanager
def _run_postgres(folder: Path, user: int | None) -> Iterator[str]:
    binaries, port = programs(), free_port()
    assert binaries
    data = folder / "data"
    command = [str(binaries / "initdb"), f"--pgdata={data}", "--auth=trust", f"--username={USER}", "--no-sync"]
    subprocess.run(command, user=user, cwd=folder, check=True, capture_output=True)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    with (folder / "postgres.txt").open("wb") as log:
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), *options]
        process = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)
    try:
        ready = [str(binaries / "pg_isready"), "--host=127.0.0.1", f"--port={port}", "--quiet"]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0, process)
        yield f"postgresql://{USER}@127.0.0.1:{port}/{USER}"
    finally:
        # SIGINT ends the sessions of clients that are still connected.
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


@contextmanager
def mlflow_server(folder: Path, database: str) -> Iterator[str]:
    """Run an MLflow server, and end it after use; yields its URI."""
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--host", "127.0.0.1"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--port", str(port), "--workers", "2"]
    # By default uvicorn kills a worker that is silent for 5 s, with the requests it serves, as on a busy machine.
    command += ["--uvicorn-opts", "--timeout-worker-healthcheck 300"]
    # Logging needs no processes for jobs, which take seconds to start.
    variables = environment(
        MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"
    )
    with (folder / "mlflow.txt").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=log, stderr=log, start_new_session=True)
    try:
        uri = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(uri), process)
        yield uri
    finally:
        # The group has the workers.
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers(uri: str) -> bool:
    """Whether the MLflow server is ready."""
    try:
        return requests.get(f"{uri}/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def wait_for(condition, process: subprocess.Popen[bytes], seconds: float = 120.0) -> None:
    """Wait for a server."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.2)


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
