"""Exit codes and errors of programs: 0 success, 1 refused with a reason, 2 usage error; no traceback on bad input."""

import argparse
import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pydantic import ValidationError

from twinlib.errors import TwinError
from twinlib.extras import EXTRAS, describe_missing_modules
from twinlib.formatting import LINES, escape_control


def run(main: Callable[[], None]) -> NoReturn:
    """Run the `main` of a program and exit; SIGTERM and SIGHUP act like Ctrl-C, so that long jobs save their state."""
    signal.signal(signal.SIGTERM, _interrupt)
    if not is_hangup_ignored():
        signal.signal(signal.SIGHUP, _interrupt)
    code = 1
    try:
        main()
        code = 0
    except TwinError as error:
        _refuse(str(error))
    except ValidationError as error:
        _refuse("; ".join(_sentences(error)))
    except json.JSONDecodeError as error:
        _refuse(f"an option is not readable JSON ({error}): {error.doc[:60]!r}")
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module not in EXTRAS:
            raise
        _refuse(describe_missing_modules([module]))
    except BrokenPipeError:
        pass
    except OSError as error:
        _refuse(_of_system(error))
    except KeyboardInterrupt:
        print("stopped: run again to continue", file=sys.stderr)
        code = 130
    sys.exit(code if _flushed() else 1)


def is_hangup_ignored() -> bool:
    """Whether this process ignores SIGHUP, because it was started with `nohup`."""
    return signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def terminate_on_hangup() -> None:
    """Make SIGHUP, such as from a lost connection, act like SIGTERM, whichever handler that has then."""
    if not is_hangup_ignored() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, lambda number, frame: os.kill(os.getpid(), signal.SIGTERM))


def options(description: str, /, **types: type | list[type]) -> argparse.Namespace:
    """Parse the options of a stage, all required: `dry=Path` takes one value, `shards=[Path]` any number."""
    parser = argparse.ArgumentParser(description=description)
    flags = {f"--{name.replace('_', '-')}": kind for name, kind in types.items()}
    for flag, kind in flags.items():
        if isinstance(kind, list):
            parser.add_argument(flag, type=kind[0], nargs="*", required=True)
        else:
            parser.add_argument(flag, type=kind, required=True)
    words, current = [], None
    for word in sys.argv[1:]:
        current = flags.get(word, current)
        # A file name may start with a dash.
        is_name = word.startswith("-") and word not in flags and current in (Path, [Path])
        words.append(f"./{word}" if is_name else word)
    return parser.parse_args(words)


def _refuse(reason: str) -> None:
    print(f"error: {escape_control(reason, keep=LINES)}", file=sys.stderr)


def _sentences(error: ValidationError) -> list[str]:
    """Return one message for each invalid setting, prefixed by its section."""
    problems = [(item["loc"], item["msg"].removeprefix("Value error, ")) for item in error.errors(include_url=False)]
    return [f"{'.'.join((error.title, *map(str, place)))}: {message}" for place, message in problems]


def _of_system(error: OSError) -> str:
    """Return the message of a system error, such as missing permissions or a full disk."""
    file = error.filename2 or error.filename or "a file"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{file} cannot be written: its file system is full. Make space there and run again; finished work is kept"
        )
    return (
        f"{file} cannot be read or written ({error.strerror or error}): check the path, its permissions and the "
        "free disk space, and run again"
    )


def _flushed() -> bool:
    """Flush standard output; return False, and discard the rest, if the reader has closed the pipe."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
