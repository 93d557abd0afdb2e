"""What recording needs of a sound system: its interfaces, and one stream that plays and records at the same time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from twinlib.audio import Signal

BLOCK_FRAMES = 2048
"""Frames of a block to play."""

Address = int | str | None
"""An interface by its number or a part of its name; None for the default of the system."""


@dataclass(frozen=True)
class Interface:
    """An interface of this computer, with the number of its channels and its default sample rate in Hz."""

    number: int
    name: str
    outputs: int
    inputs: int
    sample_rate: int
    is_default_output: bool = False
    is_default_input: bool = False


def find_input(interfaces: Iterable[Interface], address: Address) -> Interface | None:
    """Return the interface with inputs at an address; None if there is none. A name matches if it has all its words."""
    for each in interfaces:
        if address is None:
            is_it = each.is_default_input
        elif isinstance(address, int):
            is_it = each.number == address
        else:
            is_it = all(word in each.name.casefold() for word in address.casefold().split())
        if is_it and each.inputs:
            return each
    return None


@dataclass(frozen=True)
class Connection:
    """The use of an interface: where to play, where to record, the rate in Hz, and the latency in seconds.

    Channels count from 1. `latency` is None for one that is long enough for robust streams.
    """

    output: Address
    input: Address
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]
    sample_rate: int
    latency: float | None = None


@dataclass(frozen=True)
class Received:
    """A recorded block, float32 `(frames, inputs)`, and whether the driver reports lost or repeated samples at it."""

    samples: Signal
    is_broken: bool = False


@dataclass(frozen=True)
class SoundSystem:
    """A sound system as three functions.

    - `list_interfaces()` returns the interfaces.
    - `find_rate(connection)` returns the sample rate at which the interface can be used: that of the connection, or the
      default of the interface.
    - `exchange(connection, blocks)` plays blocks `(frames, channels)` and yields recorded blocks of any length that are
      together at least as long. A block of one channel is played on all outputs.

    They raise `InterfaceError`.
    """

    list_interfaces: Callable[[], list[Interface]]
    find_rate: Callable[[Connection], int]
    exchange: Callable[[Connection, Iterable[Signal]], Iterator[Received]]
