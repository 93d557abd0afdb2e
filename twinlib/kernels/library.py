"""The compiled library, and the choice between it and torch."""

import ctypes
import functools
import os
import sys

from twinlib.errors import ModelError
from twinlib.kernels.build import REMEDY, library_path

SWITCH = "TWINLIB_KERNELS"
"""Environment variable: `off` disables the kernels; the name of an instruction set selects it; by default, the best
of the CPU is used."""

_POINTER, _INTEGER, _FLOAT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
_SIGNATURES = {
    "twin_best_instructions": (ctypes.c_char_p, []),
    "twin_model_create": (_POINTER, [ctypes.c_char_p, _POINTER, _FLOAT]),
    "twin_model_free": (None, [_POINTER]),
    "twin_model_pack": (None, [_POINTER, _POINTER]),
    "twin_stream_create": (_POINTER, [_POINTER, _INTEGER, _POINTER, _INTEGER]),
    "twin_stream_free": (None, [_POINTER]),
    "twin_stream_process": (_INTEGER, [_POINTER, _POINTER, _POINTER, _INTEGER, _FLOAT, _FLOAT, _INTEGER]),
    "twin_training_create": (_POINTER, [_POINTER, _INTEGER, _INTEGER, _POINTER]),
    "twin_training_free": (None, [_POINTER]),
    "twin_training_forward": (ctypes.c_int, [_POINTER, _POINTER, _POINTER, _INTEGER]),
    "twin_training_backward": (ctypes.c_int, [_POINTER, _POINTER, _POINTER, _POINTER, _INTEGER]),
}


def is_enabled() -> bool:
    """Whether the environment variable allows the kernels, whether or not they are compiled."""
    return os.environ.get(SWITCH) != "off"


def engine_name() -> str:
    """Return what computes networks on the CPU, for records: the instruction set of the kernels, or `torch`."""
    return instruction_set() or "torch"


@functools.cache
def load_library() -> ctypes.CDLL | None:
    """Return the library of the present sources; None, with a message on the first call, if it is not compiled."""
    try:
        library = ctypes.CDLL(str(library_path()))
    except OSError:
        print(
            "The compiled kernels are missing or out of date: training takes two to six times as long, rendering four "
            f"to eight times. {REMEDY}",
            file=sys.stderr,
        )
        return None
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def instruction_set() -> str | None:
    """Return the instruction set of the kernels in use, such as `avx512`; None if torch computes instead.

    Raises `ModelError` if the environment variable names an instruction set that is unknown or that the CPU lacks.
    """
    if not is_enabled():
        return None
    choice = os.environ.get(SWITCH, "")
    library = load_library()
    if library is None:
        return None
    best = library.twin_best_instructions().decode()
    if choice in ("", best):
        return str(best)
    probe = (ctypes.c_int64 * 13)(1, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1)
    model = library.twin_model_create(choice.encode(), probe, 1.0)
    if not model:
        raise ModelError(f"{SWITCH} is {choice!r}, but this CPU supports {best} at most. Unset it, or set it to off")
    library.twin_model_free(model)
    return choice
