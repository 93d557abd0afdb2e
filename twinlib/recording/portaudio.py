"""The sound system of PortAudio (https://www.portaudio.com), by the package sounddevice."""

import queue
from collections.abc import Callable, Iterable, Iterator
from functools import partial, wraps
from itertools import islice
from typing import Any, ParamSpec, TypeVar

from twinlib.audio import Signal
from twinlib.errors import InterfaceError, StalledStreamError
from twinlib.recording.sound_system import BLOCK_FRAMES, Connection, Interface, Received, SoundSystem

QUEUED_BLOCKS = 64
"""Blocks read ahead, 3 s at 44.1 kHz, so that a busy disk does not interrupt the stream."""

TIMEOUT_SECONDS = 10.0
"""Time without a block after which the interface is not answering."""

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


def _exchange(sounddevice: Any, connection: Connection, blocks: Iterable[Signal]) -> Iterator[Received]:
    played: queue.SimpleQueue[Signal] = queue.SimpleQueue()
    recorded: queue.SimpleQueue[tuple[Received, bool]] = queue.SimpleQueue()
    columns = [channel - 1 for channel in connection.inputs]

    def exchange_block(indata: Signal, outdata: Signal, frames: int, time: Any, status: Any) -> None:
        outdata.fill(0.0)
        was_played = not played.empty()
        if was_played:
            samples = played.get_nowait()
            for number, channel in enumerate(connection.outputs):
                outdata[:, channel - 1] = samples[:, number % samples.shape[1]]
        broken = bool(status.input_overflow or status.output_underflow or not was_played)
        recorded.put((Received(indata[:, columns].copy(), broken), was_played))

    source = iter(blocks)
    waiting = 0
    for block in islice(source, QUEUED_BLOCKS):
        played.put(block)
        waiting += 1
    try:
        stream = sounddevice.Stream(
            samplerate=connection.sample_rate,
            blocksize=BLOCK_FRAMES,
            device=(connection.input, connection.output),
            channels=(max(connection.inputs), max(connection.outputs)),
            dtype="float32",
            latency="high" if connection.latency is None else connection.latency,
            callback=exchange_block,
            clip_off=True,
        )
        try:
            stream.start()
            while waiting:
                received, was_played = recorded.get(timeout=TIMEOUT_SECONDS)
                waiting -= was_played
                for following in islice(source, 1):
                    played.put(following)
                    waiting += 1
                yield received
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
