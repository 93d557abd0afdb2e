"""The sound system of PortAudio (https://www.portaudio.com), by the package sounddevice."""

import queue
from collections.abc import Callable, Iterable, Iterator
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from twinlib.audio import Signal
from twinlib.errors import InterfaceError, StalledStreamError
from twinlib.recording.sound_system import BLOCK_FRAMES, Connection, Interface, Received, SoundSystem

QUEUED_FRAMES = 64 * BLOCK_FRAMES
"""Frames read ahead, 3 s at 44.1 kHz, so that a busy disk does not interrupt the stream."""

LATENCY_SECONDS = 0.2
"""Latency of a stream if the driver does not propose a longer one, which protects a recording on a busy machine."""

TIMEOUT_SECONDS = 10.0
"""Time without a block after which the interface is not answering."""

MOST_STARTS = 2
"""Starts of a stream that delivers nothing."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def portaudio_system() -> SoundSystem:
    """Return the interfaces of this computer; raises `InterfaceError` if PortAudio or sounddevice is missing."""
    try:
        import sounddevice
    except ImportError:
        raise InterfaceError(
            "recording needs the package sounddevice: install it with `pip install -e '.[record]'`, or record in your "
            "audio program and run `twin check FOLDER`"
        ) from None
    except OSError as error:
        raise InterfaceError(
            f"the PortAudio library cannot be loaded ({error}): install it (Debian and Ubuntu: `apt install "
            "libportaudio2`), or record in your audio program and run `twin check FOLDER`"
        ) from None
    explained = partial(_explained, sounddevice)
    return SoundSystem(
        explained(partial(_list_interfaces, sounddevice)),
        explained(partial(_find_rate, sounddevice)),
        partial(_exchange, sounddevice),
    )


def _explained(sounddevice: Any, function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Return the function with its errors as `InterfaceError`."""

    @wraps(function)
    def call(*args: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        try:
            return function(*args, **options)
        except (sounddevice.PortAudioError, ValueError) as error:
            raise _error(error) from None

    return call


def _error(error: Exception) -> InterfaceError:
    return InterfaceError(
        f"the interface cannot be used ({error}): `twin record --list` lists all interfaces; check that it is plugged "
        "in, has these channels, and is not in use by another program"
    )


def _list_interfaces(sounddevice: Any) -> list[Interface]:
    default_input, default_output = sounddevice.default.device
    return [
        Interface(
            number=number,
            name=f"{each['name']} ({sounddevice.query_hostapis(each['hostapi'])['name']})",
            outputs=each["max_output_channels"],
            inputs=each["max_input_channels"],
            sample_rate=round(each["default_samplerate"]),
            is_default_output=number == default_output,
            is_default_input=number == default_input,
        )
        for number, each in enumerate(sounddevice.query_devices())
    ]


def _find_rate(sounddevice: Any, connection: Connection) -> int:
    try:
        _check_settings(sounddevice, connection, connection.sample_rate)
    except sounddevice.PortAudioError:
        rate = int(sounddevice.query_devices(connection.input, "input")["default_samplerate"])
        # Its error is not one of the rate, such as too many channels.
        _check_settings(sounddevice, connection, rate)
        return rate
    return connection.sample_rate


def _check_settings(sounddevice: Any, connection: Connection, rate: int) -> None:
    sounddevice.check_output_settings(connection.output, max(connection.outputs), "float32", samplerate=rate)
    sounddevice.check_input_settings(connection.input, max(connection.inputs), "float32", samplerate=rate)


class _Player:
    """The samples to play: blocks come in one thread, and go out in another, in the sizes that the driver asks for."""

    def __init__(self, outputs: Iterable[int], blocks: Iterable[Signal]) -> None:
        self._columns = [channel - 1 for channel in outputs]
        self._source = iter(blocks)
        self._queue: queue.SimpleQueue[Signal] = queue.SimpleQueue()
        self._rest: Signal = np.zeros((0, 1), np.float32)
        self.waiting, self.is_read = 0, False

    def read_ahead(self) -> None:
        """Fill the queue; `waiting` counts its frames, and `is_read` says that all blocks have been in it."""
        while self.waiting < QUEUED_FRAMES and not self.is_read:
            block = next(self._source, None)
            if block is None:
                self.is_read = True
            else:
                self._queue.put(block)
                self.waiting += len(block)

    def fill(self, out: Signal) -> int:
        """Write the next frames into a buffer of the driver; return their number, less than asked for at the end."""
        out.fill(0.0)
        position = 0
        while position < len(out):
            if not len(self._rest):
                if self._queue.empty():
                    break
                self._rest = self._queue.get_nowait()
            part = self._rest[: len(out) - position]
            self._rest = self._rest[len(part) :]
            for number, column in enumerate(self._columns):
                out[position : position + len(part), column] = part[:, number % part.shape[1]]
            position += len(part)
        return position


def _exchange(sounddevice: Any, connection: Connection, blocks: Iterable[Signal]) -> Iterator[Received]:
    player = _Player(connection.outputs, blocks)
    recorded: queue.SimpleQueue[tuple[Received, int]] = queue.SimpleQueue()
    columns = [channel - 1 for channel in connection.inputs]

    is_running = False

    def exchange_block(indata: Signal, outdata: Signal, frames: int, time: Any, status: Any) -> None:
        nonlocal is_running
        if status.input_underflow and not is_running:
            # The input does not run yet: what is played now is lost.
            outdata.fill(0.0)
            return
        is_running, is_read = True, player.is_read
        played = player.fill(outdata)
        broken = status.input_underflow or status.input_overflow or status.output_underflow
        broken = broken or (played < frames and not is_read)
        recorded.put((Received(indata[:, columns].copy(), bool(broken)), played))

    player.read_ahead()
    try:
        for number in range(1, MOST_STARTS + 1):
            stream = sounddevice.Stream(
                samplerate=connection.sample_rate,
                # With blocks of one size, PortAudio repeats samples on the pulse plugin of ALSA and does not report it.
                blocksize=0,
                device=(connection.input, connection.output),
                channels=(max(connection.inputs), max(connection.outputs)),
                dtype="float32",
                latency=_latency(sounddevice, connection) if connection.latency is None else connection.latency,
                callback=exchange_block,
                clip_off=True,
            )
            try:
                stream.start()
                while player.waiting:
                    received, played = recorded.get(timeout=TIMEOUT_SECONDS)
                    player.waiting -= played
                    player.read_ahead()
                    yield received
                return
            except queue.Empty:
                # PortAudio may end a stream at an interruption of its start; nothing has been played then.
                if is_running or number == MOST_STARTS:
                    raise
            finally:
                # To stop waits for the thread of the driver, forever if that has stalled.
                stream.abort()
                stream.close()
    except queue.Empty:
        raise StalledStreamError(
            f"the interface has delivered nothing for {TIMEOUT_SECONDS:.0f} s: check its cable and its driver, and run "
            "again; finished takes are kept"
        ) from None
    except (sounddevice.PortAudioError, ValueError) as error:
        raise _error(error) from None


def _latency(sounddevice: Any, connection: Connection) -> float:
    sides = ((connection.input, "input"), (connection.output, "output"))
    proposed = [sounddevice.query_devices(device, side)[f"default_high_{side}_latency"] for device, side in sides]
    return float(max(LATENCY_SECONDS, *proposed))
