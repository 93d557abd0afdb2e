"""Eight jobs that log to one MLflow store at once, run as a program: URI FOLDER."""

import multiprocessing
import sys
from pathlib import Path

from twinlib.tracking import outage
from twinlib.tracking.runs import start_run
from twinlib.tracking.store import open_client

JOBS = 8
ROWS = 700
DEVICES = ("silk", "klon")
"""No experiment exists at first; four jobs need each."""


def log_one(uri: str, folder: Path, number: int, start: "multiprocessing.synchronize.Barrier") -> None:
    """Log one run, as a training and the stage after it do."""
    side = folder / str(number) / "run.json"
    side.parent.mkdir(parents=True)
    (side.parent / "model.bin").write_bytes(bytes([number]) * 1000)
    rows = [{"step": step, "cpu_seconds": 0.1 * step, "loss": 1 / (step + 1), "esr": 0.5} for step in range(ROWS)]
    start.wait()
    run = start_run(uri, DEVICES[number % 2], f"model-{number}", side, f"{number}" * 64)
    run.log_params({"number": number, **{f"key{index}": index for index in range(120)}})
    for first in range(0, ROWS, 50):
        run.log_curve(rows[first : first + 50])
    run.log_metrics({"final": number, "splits": {"test": {"esr": 0.01 * number}}})
    run.log_files([side.parent / "model.bin"], "twin")
    run.finish()


def main() -> None:
    """Fork the jobs after the import of MLflow, which takes longer than the logging."""
    uri, folder = sys.argv[1], Path(sys.argv[2])
    # On a busy machine a server may not answer for longer than a job waits by default.
    outage._PROBE_SECONDS = 120.0
    open_client("http://127.0.0.1:1")
    context = multiprocessing.get_context("fork")
    start = context.Barrier(JOBS)
    jobs = [context.Process(target=log_one, args=(uri, folder, number, start)) for number in range(JOBS)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    sys.exit(any(job.exitcode for job in jobs))


if __name__ == "__main__":
    main()
