"""Dry runs of Snakemake, each in a child of one process that has imported Snakemake before.

A dry run is mostly imports. This program imports what no checkout of the project brings along, and `twinlib` only of a
checkout that it is told nobody edits: of any other a child imports it.
"""

import json
import os
import sys
from pathlib import Path
from typing import NoReturn


def main() -> None:
    """Answer each line of standard input, an object of the arguments of `run`, with the exit code of that run."""
    import pandas  # noqa: F401
    import pyarrow  # noqa: F401
    import pydantic  # noqa: F401
    import smart_open  # noqa: F401
    import snakemake.executors.local  # noqa: F401
    import soundfile  # noqa: F401
    import tqdm  # noqa: F401
    import yaml  # noqa: F401
    from snakemake.cli import get_argument_parser

    get_argument_parser()
    for repository in sys.argv[1:]:
        read(Path(repository))
    for line in sys.stdin:
        child = os.fork()
        if not child:
            run(**json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def read(repository: Path) -> None:
    """Import what the workflow of a checkout imports, and read the code of its stages: of the rest that is most."""
    sys.path.insert(0, str(repository))
    import twinlib.config
    import twinlib.excitation.withdrawn
    import twinlib.provenance.settle  # noqa: F401
    from twinlib.provenance.code_digest import digest

    for program in sorted((repository / "scripts").glob("*.py")):
        digest(program, repository)


def run(words: list[str], folder: str, environment: dict[str, str], log: str) -> NoReturn:
    """Be `python -m snakemake WORDS` in a folder and an environment, write to a log, and end."""
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream in (1, 2):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:0] = ["", *environment["PYTHONPATH"].split(os.pathsep)]
        sys.argv = ["snakemake", *words]
        known = sys.modules.get("twinlib")
        if known and Path(str(known.__file__)).parents[1] != Path(environment["PYTHONPATH"]):
            raise RuntimeError(f"twinlib was imported from {known.__file__}")
        from snakemake.cli import main as snakemake

        snakemake(words)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
