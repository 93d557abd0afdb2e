"""How a program ends: 0 done, 1 refused with the reason, 2 wrong use; never with a traceback for bad input."""

import argparse
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from twinlib.errors import TwinError


def run(main: Callable[[], None]) -> NoReturn:
    """Run a program's `main` and exit; SIGTERM is treated as Ctrl-C so that long work can put its state away."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        main()
    except TwinError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped: run again to go on", file=sys.stderr)
        sys.exit(130)
    sys.exit(0)


def options(description: str, /, **types: type | list[type]) -> argparse.Namespace:
    """Parse a stage's options, all of them required: `dry=Path` takes one value, `shards=[Path]` any number."""
    parser = argparse.ArgumentParser(description=description)
    for name, kind in types.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(kind, list):
            parser.add_argument(flag, type=kind[0], nargs="*", required=True)
        else:
            parser.add_argument(flag, type=kind, required=True)
    return parser.parse_args()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
