"""A small project on disk: a synthetic corpus, a configuration, and Snakemake run on it in a process of its own."""

import base64
import fcntl
import hashlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.workflow import forkserver
from twinlib import audio
from twinlib.files import read_json
from twinlib.simulation.settings import Recorder, SimulatedClipper
from twinlib.simulation.simulate import simulate_take

REPOSITORY = Path(__file__).parents[2]
ODD_NAME = "-Song {Live} 100% <take> #2 'it' $HOME.wav"
"""Special characters of the shell, Snakemake and format strings in the name of a song."""
RATE = 44100
SOCKET, CLIENT = "socket", "python"
"""Names of the socket of a fork server, and of the executable that replaces Python for its programs."""

Variables = tuple[tuple[str, str], ...]
"""Names and values of environment variables."""

TINY: dict[str, Any] = {
    "corpus": {"root": "corpus", "layout": "folder", "licence": "CC0-1.0", "exclude": "excluded.tsv"},
    "excitations": {
        "tiny": {
            "seed": 1,
            "slices": 60,
            "slice_samples": 8000,
            "crossfade_samples": 2000,
            "reel_minutes": 1,
            "split": {"train": 0.6, "valid": 0.2, "test": 0.2, "salt": "tiny"},
        }
    },
    "dataset": {"segment_samples": 4096},
    "devices": {
        "amp": {
            "excitation": "tiny",
            "simulate": {"circuit": "diode_clipper", "drive": 0.1, "recorder": {"drift_ppm": 5, "offset_seconds": 0.1}},
            "settings": {"drive": 1, "tone": "12:30"},
            "card": {"make": "Acme", "gear_type": "preamp", "serial": "0042"},
        },
        "box": {"pairs": "pairs.tsv"},
    },
    "models": {"tiny": {"channels": 4, "kernel_size": 3, "dilations": [1, 3, 9]}},
    # High rates, so that few steps suffice to be better than silence.
    "training": {
        "steps": 60,
        "validate_every": 30,
        "crop_samples": 512,
        "muon_rate": 0.03,
        "adamw_rate": 0.012,
        "warmup_steps": 0,
    },
    "evaluation": {"linear_taps": 64, "clip_seconds": 1},
    "experiments": [{"device": "amp", "model": "tiny"}, {"device": "box", "model": "tiny"}],
}


SEARCH: dict[str, Any] = {
    "device": "box",
    "base": "tiny",
    "trials": 8,
    "steps": [5, 15, 45],
    "space": {
        "channels": [2, 4],
        "kernel_size": [2, 3],
        "dilations": [[1, 3, 9], [1, 4, 16]],
        "activation": ["tanh", "leaky_relu"],
        "batch": [2, 4],
        "crop_samples": [256, 512],
    },
}
SEARCHED: dict[str, Any] = {
    "dataset": TINY["dataset"],
    "devices": {"box": TINY["devices"]["box"]},
    "models": TINY["models"],
    "training": TINY["training"],
    "evaluation": TINY["evaluation"],
    "search": {"tuned": SEARCH},
    "experiments": [{"device": "box", "model": "tuned"}],
    "kernels": False,
}


def noise(seconds: float, seed: int, level: float = 0.4) -> audio.Signal:
    """Music-like noise with varying spectrum and envelope, `(frames,)`."""
    generator = np.random.default_rng(seed)
    frames = round(seconds * RATE)
    kernel = np.exp(-np.arange(24) / generator.uniform(1, 6))
    signal = np.convolve(generator.standard_normal(frames), kernel, "same")
    envelope = np.interp(np.arange(frames), np.linspace(0, frames, 12), generator.uniform(0.2, 1.0, 12))
    signal *= envelope
    return (level * signal / np.abs(signal).max()).astype(np.float32)


@dataclass(frozen=True)
class Run:
    """The exit code and the output of a run of Snakemake."""

    code: int
    text: str
    log_file: str = ""

    @property
    def log(self) -> str:
        """The log file of the run, which has all that the output leaves out; the output of a dry run."""
        return Path(self.log_file).read_text() if self.log_file else self.text

    @property
    def rules(self) -> dict[str, int]:
        """Executed (in a dry run: planned) jobs per rule, without targets such as `all`."""
        jobs: dict[str, int] = {}
        for line in self.log.splitlines():
            words = line.split()
            if len(words) == 2 and words[0] in ("rule", "localrule") and words[1].endswith(":"):
                name = words[1].rstrip(":")
                if name not in ("all", "excitation", "dataset", "searches", "twins", "report"):
                    jobs[name] = jobs.get(name, 0) + 1
        return jobs


@dataclass(frozen=True)
class Project:
    """The working directory of Snakemake; `repository` holds the workflow."""

    folder: Path
    repository: Path = REPOSITORY

    def write(self, config: dict[str, Any]) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config))

    def command(self, *words: str) -> tuple[list[str], dict[str, str]]:
        command = [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(self.repository / "workflow" / "Snakefile")),
            *("--directory", str(self.folder), "--configfile", str(self.folder / "config.yaml"), "--cores", "2"),
            *words,
        ]
        environment = {**os.environ, "PYTHONPATH": str(self.repository), "OMP_NUM_THREADS": "1"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        return command, environment

    def run_as_user(self, *words: str, timeout: float = 600) -> Run:
        """Run Snakemake in a new process."""
        command, environment = self.command(*words)
        before = self._logs()
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        return Run(done.returncode, done.stdout + done.stderr, max(self._logs() - before, default=""))

    def _logs(self) -> set[str]:
        return set(map(str, (self.folder / ".snakemake" / "log").glob("*.log")))

    def run(self, *words: str, own: dict[str, str] | None = None, variables: Variables = (), umask: int = -1) -> Run:
        """Run Snakemake and its programs with fork servers (see `forkserver`).

        `own` are environment variables of this run. With `variables` or `umask`, the run has servers of its own, which
        are started with them.
        """
        command, environment = self.command(*words)
        environment |= {**dict(variables), **(own or {})}
        # Tests edit all other checkouts.
        shared = self.repository == REPOSITORY
        snakemake = start_server("snakemake", REPOSITORY if shared else None, variables, umask)
        python = sys.executable
        if shared and "--dry-run" not in words:
            python = forked_python(variables, umask)
        with tempfile.NamedTemporaryFile("r", encoding="utf-8") as log:
            request = {"words": command[3:], "folder": str(self.folder), "environment": environment, "log": log.name}
            before = self._logs()
            with connect(snakemake) as connection:
                connection.send(json.dumps({**request, "python": python}).encode())
                assert connection.recv(16), "no process id"
                code = int(connection.recv(16) or -1)
            return Run(code, log.read(), max(self._logs() - before, default=""))

    def dry(self, *words: str) -> Run:
        """Run Snakemake with `--dry-run`."""
        return self.run("--dry-run", *words)

    def plan(self, *words: str) -> dict[str, int]:
        """The planned jobs per rule."""
        found = self.dry(*words)
        assert found.code == 0, found.text
        return found.rules

    def declared(self, output: str) -> set[str]:
        """The inputs of an output in the metadata of Snakemake."""
        name = base64.urlsafe_b64encode(output.encode()).decode()
        content = json.loads((self.folder / ".snakemake" / "metadata" / name).read_text())
        return set(content["input"])

    def read(self, output: str) -> set[str]:
        """The inputs in the stage record of an output."""
        return set(read_json(self.folder / f"{output}.prov.json", "record/1")["inputs"])

    def copy(self, folder: Path, metadata: bool) -> "Project":
        """Copy the project, either with file times and the metadata of Snakemake or with neither."""
        ignore = None if metadata else shutil.ignore_patterns(".snakemake", ".sums.json")
        copy = shutil.copy2 if metadata else shutil.copy
        shutil.copytree(self.folder, folder, ignore=ignore, copy_function=copy)
        return Project(folder, self.repository)


@cache
def server_folder() -> tuple[Path, int]:
    """The folder of the fork servers, shared by the processes of pytest-xdist, and the process whose end ends them."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return Path(tempfile.mkdtemp(prefix="servers-")), os.getpid()
    folder = Path(tempfile.gettempdir()) / f"servers-{run}"
    folder.mkdir(exist_ok=True)
    return folder, os.getppid()


@cache
def start_server(kind: str, repository: Path | None, variables: Variables, umask: int) -> Path:
    """Start a fork server, unless it runs; return its socket, beside which is a client for programs.

    The server has read the code of `repository`, so that code must not be edited. `variables` are added to its
    environment.
    """
    home, owner = server_folder()
    name = hashlib.sha256(repr((kind, repository, variables, umask)).encode()).hexdigest()[:16]
    address = home / name / SOCKET
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if address.parent.exists():
            return address
        address.parent.mkdir()
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment |= {"OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONWARNINGS": "ignore"}
        program = [sys.executable, "-P", str(Path(__file__).with_name("forkserver.py")), kind, str(address), str(owner)]
        program += [str(repository)] if repository else []
        process = subprocess.Popen(
            program, env=environment | dict(variables), umask=umask, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        client = address.with_name(CLIENT)
        client.write_text(forkserver.CLIENT.format(python=sys.executable, address=str(address)))
        client.chmod(0o755)
    return address


def forked_python(variables: Variables = (), umask: int = -1) -> str:
    """Return an executable that replaces Python for programs and modules: a fork server with all imports runs them."""
    return str(start_server("programs", REPOSITORY, variables, umask).with_name(CLIENT))


def connect(address: Path) -> socket.socket:
    """Connect to a fork server."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(str(address))
    return connection


class Program:
    """A program in a child of the fork server, with the interface of `subprocess.Popen`; it can be killed."""

    def __init__(self, words: list[str], folder: Path) -> None:
        self._connection = connect(start_server("programs", REPOSITORY, (), -1))
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        null, (read, write) = os.open(os.devnull, os.O_RDWR), os.pipe()
        request = json.dumps([words, str(folder), environment, sys.executable]).encode()
        socket.send_fds(self._connection, [request], [null, null, write])
        os.close(null)
        os.close(write)
        self._errors = os.fdopen(read, encoding="utf-8")
        self.pid = int(self._connection.recv(16))
        self.returncode: int | None = None
        self._sent = 0

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            self._sent = number
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], 0)[0]:
            # A killed child closes its connection without an exit code.
            answer = self._connection.recv(16)
            self.returncode = int(answer) if answer else -self._sent
        return self.returncode

    def communicate(self, timeout: float = 300) -> tuple[None, str]:
        """Wait for the end; return the standard error after None, as without a pipe for the standard output."""
        assert select.select([self._connection], [], [], timeout)[0], f"not ended after {timeout} s"
        self.poll()
        with self._errors:
            return None, self._errors.read()


def made_once(folder: Path, make: Callable[[Path], tuple[Project, Run]]) -> tuple[Project, Run]:
    """Call `make` in the first process that needs the folder; other processes wait for the result."""
    known = folder.with_suffix(".json")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            project, run = make(folder)
            known.write_text(json.dumps([str(project.folder), asdict(run)]))
    path, content = json.loads(known.read_text())
    return Project(Path(path)), Run(**content)


def make_project(folder: Path) -> Project:
    """A corpus of six artists, one dry and wet pair, and the configuration `TINY`."""
    for number in range(6):
        name = ODD_NAME if number == 5 else "song.wav"
        audio.write(folder / "corpus" / f"artist{number}" / name, noise(3.0, number), RATE, "PCM_16")
    dry = noise(12.0, 99)
    audio.write(folder / "pairs" / "dry.wav", dry, RATE, "PCM_24")
    audio.write(folder / "pairs" / "wet.wav", -0.5 * np.tanh(3 * dry), RATE, "PCM_24")
    (folder / "pairs.tsv").write_text("capture\tdry\twet\none\tpairs/dry.wav\tpairs/wet.wav\n")
    (folder / "excluded.tsv").write_text("track_id\treason\tdate\n")
    project = Project(folder)
    project.write(TINY)
    return project


def takes_config(**more: Any) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(yaml.safe_dump(TINY))
    content["devices"] = {"silk": {"excitation": "tiny", "takes": "my recordings/{reel}.wav"}}
    content["excitations"]["tiny"] |= {"reel_minutes": 0.15, "witness": False}
    content["experiments"] = [{"device": "silk", "model": "tiny"}]
    content["training"]["steps"] = 40
    content["tracking"] = {"enabled": False}
    return content | more


def record(project: Project, reel: str) -> Path:
    """Write the take of a reel, as a user would record it."""
    source = project.folder / "results" / "excitations" / "tiny" / "reels" / f"{reel}.wav"
    take = project.folder / "my recordings" / f"{reel}.wav"
    recorder = Recorder(drift_ppm=3, invert=True, seed=5, offset_seconds=0.2)
    simulate_take(source, take, SimulatedClipper(circuit="diode_clipper", drive=0.1, recorder=recorder), reel)
    return take
