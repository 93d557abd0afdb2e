"""A fork server: runs Snakemake and the programs of its rules in children of processes with all imports done.

Imports take most of the time of a run of the small project. `snakemake` answers requests on standard input. In its
runs, `sys.executable` is a client that passes each program of a rule to `programs`, which listens on a socket and
answers with the process id of the child, then with its exit code. Tests that depend on the start of an interpreter
start a new process instead.
"""

import gc
import importlib.util
import json
import os
import runpy
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

CLIENT = """#!{python} -IS
import json, os, socket, sys
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect({address!r})
request = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
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


def serve_programs(address: str, repository: Path) -> NoReturn:
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
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    spare_collections()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        listener.close()
        connection.send(str(os.getpid()).encode())
        request, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        words, folder, environment = json.loads(request)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.argv = words

        def main(program: str = words[0]) -> None:
            runpy.run_path(program, run_name="__main__")

        connection.send(str(in_child(folder, environment, main)).encode())
        os._exit(0)


def serve_snakemake(repository: Path | None) -> None:
    """For each line of standard input, a request for a run of Snakemake, print the exit code.

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
    spare_collections()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run_snakemake(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def run_snakemake(words: list[str], folder: str, environment: dict[str, str], log: str, python: str) -> NoReturn:
    """Run `python -m snakemake WORDS` with its output in a log, then exit."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)

    def main() -> None:
        sys.path[:0] = ["", *environment["PYTHONPATH"].split(os.pathsep)]
        sys.argv, sys.executable = ["snakemake", *words], python
        known = sys.modules.get("twinlib")
        if known and Path(str(known.__file__)).parents[1] != Path(environment["PYTHONPATH"]):
            raise RuntimeError(f"twinlib was imported from {known.__file__}")
        from snakemake.cli import main as snakemake

        snakemake(words)

    os._exit(in_child(folder, environment, main))


if __name__ == "__main__":
    if sys.argv[1] == "programs":
        serve_programs(sys.argv[2], Path(sys.argv[3]))
    serve_snakemake(Path(sys.argv[2]) if len(sys.argv) > 2 else None)
