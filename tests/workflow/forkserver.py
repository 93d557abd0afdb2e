"""A fork server: runs Snakemake and the programs of its rules in children of processes with all imports done.

Imports take most of the time of a run of the small project. `snakemake` and `programs` listen on sockets and answer
with the process id of the child, then with its exit code. In the runs of `snakemake`, `sys.executable` is a client that
passes each program of a rule to `programs`. Tests that depend on the start of an interpreter start a new process
instead.
"""

import contextlib
import gc
import hashlib
import importlib.util
import json
import os
import pickle
import runpy
import select
import shutil
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

CLIENT = """#!{python} -IS
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect({address!r})
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), sys.argv[0]]).encode()
socket.send_fds(connection, [request], [0, 1, 2])
connection.recv(16)
sys.exit(int(connection.recv(16) or 1))
"""


def in_child(folder: str, environment: dict[str, str], main: Callable[[], object]) -> int:
    """Run a program in this process, in a folder and an environment, and return its exit code."""
    try:
        for number in (signal.SIGCHLD, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def spare_collections() -> None:
    """Exclude all imported objects from garbage collection, which would copy their memory in each child.

    This saves a third of the CPU time of a dry run.
    """
    gc.collect()
    gc.freeze()


def serve(address: str, owner: int, answer: Callable[[Any, list[int]], int]) -> NoReturn:
    """Answer each request, JSON with file descriptors, in a child, until the process `owner` ends."""
    spare_collections()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # Only processes that are killed end their work on a file; no test cuts the power.
    os.fsync = lambda descriptor: None
    ended = os.pidfd_open(owner)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(64)
    print("ready", flush=True)
    while ended not in select.select([listener, ended], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        listener.close()
        os.close(ended)
        connection.send(str(os.getpid()).encode())
        request, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        connection.send(str(answer(json.loads(request), streams)).encode())
        os._exit(0)
    folder = Path(address).parent
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.with_suffix(".lock").unlink()
        folder.parent.rmdir()
    os._exit(0)


def serve_programs(address: str, owner: int, repository: Path) -> NoReturn:
    """Run the programs of a checkout that is not edited."""
    sys.path.insert(0, str(repository))
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401

    from twinlib.provenance import stage_code

    for program in sorted((repository / "scripts").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"preloaded_{program.stem}", program)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        stage_code(program, repository)
    serve(address, owner, run_program)


def run_program(request: Any, streams: list[int]) -> int:
    """Run a program, or a module after `-m`, with the standard streams of its client."""
    words, folder, environment, client = request
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    if words[0] == "-m":
        sys.argv, sys.executable = words[1:], client
        return in_child(folder, environment, lambda: runpy.run_module(words[1], run_name="__main__", alter_sys=True))
    sys.argv = words
    return in_child(folder, environment, lambda: runpy.run_path(words[0], run_name="__main__"))


def serve_snakemake(address: str, owner: int, repository: Path | None) -> NoReturn:
    """Run Snakemake.

    The code of `repository`, which must not be edited, is read once; other checkouts are read in every run.
    """
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import pydantic  # noqa: F401
    import smart_open  # noqa: F401
    import snakemake.executors.local  # noqa: F401
    import soundfile  # noqa: F401
    import tqdm  # noqa: F401
    import yaml  # noqa: F401
    from snakemake.cli import get_argument_parser

    get_argument_parser()
    if repository:
        sys.path.insert(0, str(repository))
        import twinlib.config
        import twinlib.excitation.recorded
        import twinlib.provenance.staleness
        import twinlib.tracking.runs  # noqa: F401
        from twinlib.provenance import stage_code

        for program in sorted((repository / "scripts").glob("*.py")):
            stage_code(program, repository)
    remember_parsed(Path(address).parent)
    serve(address, owner, run_snakemake)


def remember_parsed(folder: Path) -> None:
    """Let all runs share the Python code of a snakefile that has not changed: parsing is a third of a dry run."""
    from snakemake import workflow

    parse = workflow.parse

    def parsed(path: Any, run: Any, linemap: dict[int, int], rulecount: int) -> tuple[str, int]:
        name = path.get_path_or_uri(secret_free=True)
        key = f"{name}\n{rulecount}\n{Path(name).read_text(encoding='utf-8')}"
        known = folder / hashlib.sha256(key.encode()).hexdigest()
        if not known.exists():
            lines: dict[int, int] = {}
            code, count = parse(path, run, lines, rulecount=rulecount)
            part = known.with_suffix(f".{os.getpid()}")
            part.write_bytes(pickle.dumps((code, lines, count)))
            part.rename(known)
        code, lines, count = pickle.loads(known.read_bytes())
        linemap |= lines
        return code, count

    workflow.parse = parsed


def run_snakemake(request: dict[str, Any], streams: list[int]) -> int:
    """Run `python -m snakemake WORDS` with its output in a log."""
    words, environment = request["words"], request["environment"]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in (1, 2):
        os.dup2(os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)

    def main() -> None:
        sys.path[:0] = ["", *environment["PYTHONPATH"].split(os.pathsep)]
        sys.argv, sys.executable = ["snakemake", *words], request["python"]
        known = sys.modules.get("twinlib")
        if known and Path(str(known.__file__)).parents[1] != Path(environment["PYTHONPATH"]):
            raise RuntimeError(f"twinlib was imported from {known.__file__}")
        from snakemake.cli import main as snakemake

        snakemake(words)

    return in_child(request["folder"], environment, main)


if __name__ == "__main__":
    kind, socket_path, process, *checkout = sys.argv[1:]
    if kind == "programs":
        serve_programs(socket_path, int(process), Path(checkout[0]))
    serve_snakemake(socket_path, int(process), Path(checkout[0]) if checkout else None)
