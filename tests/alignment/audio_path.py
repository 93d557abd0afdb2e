"""A real audio path without hardware: a private PulseAudio server with a player, an effect and recorders.

`AudioPath` plays a file into a null sink and records the monitor of the sink in other processes. The takes have the
faults of real interfaces: any start offset, missing starts, and gaps when the machine is busy. The effect is a LADSPA
plugin; `Effect.apply` runs the same plugin without the server and gives the expected samples. `compare` finds where a
take has these samples, independently of the aligner.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from twinlib.audio import Signal, read_info

PROGRAMS = ("pulseaudio", "pactl", "paplay", "parecord", "setpriv")
PACKAGES = "pulseaudio pulseaudio-utils swh-plugins util-linux"
PLUGIN_FOLDERS = ("/usr/lib/ladspa", "/usr/lib64/ladspa", "/usr/local/lib/ladspa")

SINK = "twin"
EFFECT_SINK = "twin_effect"

SAFE_LATENCY_MS = 1000
"""With buffers of a second a stream is bit-exact on a loaded machine; with 20 ms it often has gaps."""

UP_SECONDS = 20.0
"""Time limit for the server to answer and for a process to end."""

MOST_HEADER_BYTES = 256
"""A longer WAV file contains samples."""

BLOCK = 64
"""Samples per block of `compare`: 1.5 ms."""

AUDIBLE = 1e-3
"""Minimum peak of a block that can be identified."""


class AudioPathError(Exception):
    """The audio path did not start or failed; the message contains the end of its log."""


# ----------------------------------------------------------------------------------------------------- the effect


class _Descriptor(ctypes.Structure):
    """`LADSPA_Descriptor` of ladspa.h (https://www.ladspa.org), the host's view of a plugin."""


_Handle = ctypes.c_void_p
_Count = ctypes.c_ulong
_Plain = ctypes.CFUNCTYPE(None, _Handle)
_Descriptor._fields_ = [
    ("unique_id", _Count),
    ("label", ctypes.c_char_p),
    ("properties", ctypes.c_int),
    ("name", ctypes.c_char_p),
    ("maker", ctypes.c_char_p),
    ("copyright", ctypes.c_char_p),
    ("port_count", _Count),
    ("ports", ctypes.POINTER(ctypes.c_int)),
    ("port_names", ctypes.POINTER(ctypes.c_char_p)),
    ("port_hints", ctypes.c_void_p),
    ("implementation", ctypes.c_void_p),
    ("instantiate", ctypes.CFUNCTYPE(_Handle, ctypes.POINTER(_Descriptor), _Count)),
    ("connect_port", ctypes.CFUNCTYPE(None, _Handle, _Count, ctypes.c_void_p)),
    ("activate", _Plain),
    ("run", ctypes.CFUNCTYPE(None, _Handle, _Count)),
    ("run_adding", ctypes.c_void_p),
    ("set_run_adding_gain", ctypes.c_void_p),
    ("deactivate", _Plain),
    ("cleanup", _Plain),
]
_INPUT, _CONTROL, _AUDIO = 0x1, 0x4, 0x8


@dataclass(frozen=True)
class Effect:
    """A LADSPA plugin with one audio input and output: the file's name without `.so`, the label, the controls."""

    plugin: str
    label: str
    controls: tuple[float, ...]

    def file(self) -> Path | None:
        """The path of the plugin, or None if it is not installed."""
        for folder in (*filter(None, os.environ.get("LADSPA_PATH", "").split(":")), *PLUGIN_FOLDERS):
            path = Path(folder) / f"{self.plugin}.so"
            if path.is_file():
                return path
        return None

    def apply(self, samples: Signal, sample_rate: int, block: int = 1024) -> Signal:
        """Process a signal `(frames,)` in blocks, as a server does."""
        path = self.file()
        if path is None:
            raise AudioPathError(f"{self.plugin}.so is not installed")
        descriptor = self._descriptor(path)
        plugin = descriptor.contents
        source = np.ascontiguousarray(samples, np.float32)
        made = np.zeros_like(source)
        handle = plugin.instantiate(descriptor, sample_rate)
        if not handle:
            raise AudioPathError(f"{path} cannot be instantiated at {sample_rate} Hz")
        try:
            given, controls = iter(self.controls), []
            for port in range(plugin.port_count):
                if plugin.ports[port] & _CONTROL:
                    # The plugin keeps the address: the value must live until cleanup.
                    controls.append(ctypes.c_float(next(given) if plugin.ports[port] & _INPUT else 0.0))
                    plugin.connect_port(handle, port, ctypes.addressof(controls[-1]))
            if plugin.activate:
                plugin.activate(handle)
            for start in range(0, len(source), block):
                for port in range(plugin.port_count):
                    if plugin.ports[port] & _AUDIO:
                        side = source if plugin.ports[port] & _INPUT else made
                        plugin.connect_port(handle, port, side[start:].ctypes.data)
                plugin.run(handle, min(block, len(source) - start))
            if plugin.deactivate:
                plugin.deactivate(handle)
        finally:
            plugin.cleanup(handle)
        return made

    def _descriptor(self, path: Path) -> Any:
        entry = ctypes.CDLL(str(path)).ladspa_descriptor
        entry.argtypes, entry.restype = [_Count], ctypes.POINTER(_Descriptor)
        index = 0
        while descriptor := entry(index):
            if descriptor.contents.label == self.label.encode():
                return descriptor
            index += 1
        raise AudioPathError(f"{path} holds no plugin {self.label}")


def missing(effect: Effect) -> list[str]:
    """Programs and plugins that are not installed."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    return absent if effect.file() is not None else [*absent, f"{effect.plugin}.so"]


# ------------------------------------------------------------------------------------------------------- the path


@dataclass(frozen=True)
class Recorder:
    """A process that writes `take`, started `delay` seconds after the player (before it if negative)."""

    take: Path
    delay: float


class AudioPath:
    """A private PulseAudio server with one mono null sink, preceded by the effect; use as a context manager.

    All files of the server and its clients are in a temporary folder, and clients use only its socket: the PulseAudio
    of the user is not involved, and several paths can run in parallel. The context ends all processes that it
    started, also after an error; the server dies with its parent.
    """

    def __init__(self, sample_rate: int, effect: Effect | None = None) -> None:
        self._rate, self._effect = sample_rate, effect
        self._processes: list[subprocess.Popen[bytes]] = []
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # Not pytest's tmp_path: the path of a socket has at most 107 characters.
        self._folder = Path(tempfile.mkdtemp(prefix="twin-path-"))
        self._socket = self._folder / "run" / "native"
        try:
            self._start_server()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self._processes, self._server):
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(5.0)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._processes.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def play(self, reel: Path, recorders: Sequence[Recorder], latency_ms: int = SAFE_LATENCY_MS) -> None:
        """Play the whole `reel` while the recorders run; they continue until all samples must be written."""
        target = EFFECT_SINK if self._effect is not None else SINK
        latency = f"--latency-msec={latency_ms}"
        form = [f"--rate={self._rate}", "--channels=1", "--format=float32le", "--file-format=wav"]
        record = ["parecord", f"--device={SINK}.monitor", latency, *form]
        commands = [(one.delay, [*record, str(one.take)]) for one in recorders]
        commands.append((0.0, ["paplay", f"--device={target}", latency, str(reel)]))
        commands.sort(key=lambda one: one[0])
        running: list[tuple[str, subprocess.Popen[bytes]]] = []
        due = commands[0][0]
        for delay, command in commands:
            time.sleep(delay - due)
            due = delay
            running.append((command[0], self._spawn(command)))
            if delay < 0:
                # The server may render silence seconds ahead, so wait for the first samples.
                self._flows(Path(command[-1]))
        player = next(process for name, process in running if name == "paplay")
        self._ended("paplay", player, read_info(reel).seconds + UP_SECONDS)
        # Stopping the recorder discards samples that it has not received yet.
        time.sleep(latency_ms / 1000 + 0.5)
        for name, process in running:
            if process is not player:
                process.send_signal(signal.SIGINT)
                self._ended(name, process, UP_SECONDS)
        self._processes.clear()

    def attenuate(self, percent: int) -> float:
        """Set the volume of the null sink, behind the effect; return the factor."""
        raw = round(0x10000 * percent / 100)
        command = ["pactl", "set-sink-volume", SINK, str(raw)]
        subprocess.run(command, env=self._environment, check=True, timeout=UP_SECONDS)
        return float((raw / 0x10000) ** 3)

    def client_environment(self) -> dict[str, str]:
        """The environment of an ALSA program, for which the sink is the device `twin_out` and its monitor `twin_in`."""
        target = EFFECT_SINK if self._effect is not None else SINK
        devices = {"twin_out": target, "twin_in": f"{SINK}.monitor"}
        lines = [f'pcm.{name} {{ type pulse device "{device}" }}\n' for name, device in devices.items()]
        Path(self._environment["HOME"], ".asoundrc").write_text("".join(lines))
        return dict(self._environment)

    def _start_server(self) -> None:
        self._environment = self._private_environment()
        shape = f"rate={self._rate} format=float32le channels=1"
        modules = [f"module-native-protocol-unix socket={self._socket}", f"module-null-sink sink_name={SINK} {shape}"]
        if self._effect is not None:
            file = self._effect.file()
            if file is None:
                raise AudioPathError(f"{self._effect.plugin}.so is not installed")
            self._environment["LADSPA_PATH"] = str(file.parent)
            controls = ",".join(str(value) for value in self._effect.controls)
            plugin = f"plugin={self._effect.plugin} label={self._effect.label} control={controls}"
            modules.append(f"module-ladspa-sink sink_name={EFFECT_SINK} sink_master={SINK} {plugin}")
        loads = [word for module in modules for word in ("-L", module)]
        options = ["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm=yes"]
        # Ordinary priority: a busy machine must affect the server like its clients.
        options += ["--high-priority=no", "--realtime=no", "--log-target=stderr"]
        server = self._spawn(["setpriv", "--pdeathsig", "KILL", "pulseaudio", *options, *loads])
        self._processes.remove(server)
        self._server = server
        deadline = time.monotonic() + UP_SECONDS
        wanted = EFFECT_SINK if self._effect is not None else SINK
        while wanted not in self._sinks():
            if server.poll() is not None or time.monotonic() > deadline:
                raise AudioPathError(f"pulseaudio did not come up:\n{self._log()}")
            time.sleep(0.1)

    def _private_environment(self) -> dict[str, str]:
        runtime, home, client = self._socket.parent, self._folder / "home", self._folder / "client.conf"
        for path in (runtime, home):
            path.mkdir(mode=0o700)
        client.write_text(f"autospawn = no\ndefault-server = unix:{self._socket}\nenable-shm = no\n")
        # No bus and no display: programs would find the user's server through them.
        users = ("PULSE_", "DBUS_", "DISPLAY")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(users)}
        return kept | {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "XDG_RUNTIME_DIR": str(self._folder),
            "PULSE_RUNTIME_PATH": str(runtime),
            "PULSE_STATE_PATH": str(home),
            "PULSE_SERVER": f"unix:{self._socket}",
            "PULSE_COOKIE": str(home / "cookie"),
            "PULSE_CLIENTCONFIG": str(client),
            "LC_ALL": "C",
        }

    def _sinks(self) -> list[str]:
        asked = subprocess.run(
            ["pactl", "list", "short", "sinks"],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
        )
        return [line.split("\t")[1] for line in asked.stdout.splitlines() if "\t" in line]

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("ab") as log:
            # In a new session, so that only pytest receives Ctrl-C.
            process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._processes.append(process)
        return process

    def _flows(self, take: Path) -> None:
        deadline = time.monotonic() + UP_SECONDS
        while not take.exists() or take.stat().st_size <= MOST_HEADER_BYTES:
            if time.monotonic() > deadline:
                raise AudioPathError(f"nothing arrives in {take}:\n{self._log()}")
            time.sleep(0.02)

    def _ended(self, name: str, process: subprocess.Popen[bytes], seconds: float) -> None:
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AudioPathError(f"{name} does not end:\n{self._log()}") from None
        if code != 0:
            raise AudioPathError(f"{name} ended with {code}:\n{self._log()}")

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]


@contextmanager
def busy(processes: int, delay: float = 0.0, at_most_seconds: float = 90.0) -> Iterator[None]:
    """Load the machine after `delay` seconds with computing processes, which end by themselves."""
    end = f"import time\ntime.sleep({delay})\nend = time.monotonic() + {at_most_seconds}"
    code = f"{end}\nwhile time.monotonic() < end:\n    pass"
    started = [subprocess.Popen([sys.executable, "-c", code], start_new_session=True) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


# ------------------------------------------------------------------------------------------------------ the truth


@dataclass(frozen=True)
class Fault:
    """A range [start, stop) of the reel missing from the take, and the decrease of the lag there."""

    start: int
    stop: int
    lost_samples: int


@dataclass(frozen=True)
class Truth:
    """The blocks of a take that equal the expected samples: positions on the reel and integer lags.

    `faults` are between the first and the last block found; `head` and `tail` count the missing blocks before and after
    these.
    """

    positions: npt.NDArray[np.int64]
    lags: npt.NDArray[np.int64]
    faults: tuple[Fault, ...]
    head: int
    tail: int

    @property
    def whole(self) -> bool:
        """Whether no audible block is missing."""
        return not (self.faults or self.head or self.tail)


def compare(expected: Signal, take: Signal, tolerance: float = 1e-6) -> Truth:
    """Find every audible block of `expected` in `take`: the same samples, in the same order.

    The result is a longest common subsequence (Hunt and Szymanski, "A fast algorithm for computing longest common
    subsequences", CACM 1977), so exact repetitions in the music are not confused. A block that contains a fault is not
    found, so the bounds of a fault are accurate to one block on either side.
    """
    order = np.argsort(take, kind="stable")
    ascending = take[order]
    audible: list[int] = []
    # For each length n, the chain of n blocks that ends earliest: its end, and the index of its last match.
    ends: list[int] = []
    last: list[int] = []
    matches: list[tuple[int, int, int]] = []
    for position in range(0, len(expected) - BLOCK + 1, BLOCK):
        block = expected[position : position + BLOCK]
        loudest = int(np.abs(block).argmax())
        if abs(block[loudest]) < AUDIBLE:
            continue
        audible.append(position)
        near = np.searchsorted(ascending, block[loudest] + np.array([-tolerance, tolerance], np.float32))
        places = order[near[0] : near[1]] - loudest
        places = places[(places >= 0) & (places <= len(take) - BLOCK)]
        same = np.abs(take[places[:, None] + np.arange(BLOCK)] - block).max(axis=1, initial=0.0) <= tolerance
        for place in sorted(places[same].tolist(), reverse=True):
            length = bisect_left(ends, place)
            matches.append((position, place, last[length - 1] if length else -1))
            ends[length : length + 1] = [place]
            last[length : length + 1] = [len(matches) - 1]
    chain: list[tuple[int, int]] = []
    at = last[-1] if last else -1
    while at >= 0:
        position, place, at = matches[at]
        chain.append((position, place - position))
    chain.reverse()
    positions, lags = np.array(chain, np.int64).reshape(-1, 2).T
    found = np.searchsorted(audible, positions)
    faults = tuple(
        Fault(int(positions[i]) + BLOCK, int(positions[i + 1]), int(lags[i] - lags[i + 1]))
        for i in np.flatnonzero((np.diff(found) > 1) | (np.diff(lags) != 0))
    )
    head = int(found[0]) if len(found) else len(audible)
    tail = len(audible) - 1 - int(found[-1]) if len(found) else 0
    return Truth(positions, lags, faults, head, tail)
