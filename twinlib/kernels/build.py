"""Compile the kernels: `python -m twinlib.kernels.build`, run by the installation of the package.

Uses the standard library only: the installation runs this file before the package and its dependencies exist.
"""

import hashlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = FOLDER / "source"
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-ffp-contract=fast", "-fno-math-errno")
X86 = {
    "avx512": ("-mavx512f", "-mavx512dq", "-mavx2", "-mfma"),
    "avx2": ("-mavx2", "-mfma"),
    "baseline": ("-msse2",),
}
"""Compiler flags of each instruction set for 64-bit x86; the CPU decides at run time. Without any flag, `zig c++` would
compile for the CPU of the build machine."""
REMEDY = "Install a C++ compiler (GCC or Clang, or `pip install ziglang`) and run `python -m twinlib.kernels.build`"


class BuildError(Exception):
    """The kernels cannot be compiled; the message says why and how to change that."""


def digest_sources() -> str:
    """Return a digest of all inputs of the compilation, 16 hexadecimal digits."""
    content = hashlib.sha256()
    for path in [*sorted(SOURCES.iterdir()), Path(__file__)]:
        content.update(path.name.encode() + b"\0" + path.read_bytes())
    return content.hexdigest()[:16]


def library_path(folder: Path = FOLDER) -> Path:
    """Return the file of the compiled library for the present sources; a library of other sources has another name."""
    suffix = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
    return folder / f"wavenet-{digest_sources()}{suffix}"


def find_compiler() -> list[str] | None:
    """Return the command of a C++ compiler: `CXX`, one on the path, or that of the package ziglang; None if absent."""
    if command := os.environ.get("CXX"):
        return shlex.split(command)
    for name in ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return [path]
    if importlib.util.find_spec("ziglang") is not None:
        return [sys.executable, "-m", "ziglang", "c++"]
    return None


def build(folder: Path = FOLDER, extra_flags: tuple[str, ...] = ()) -> Path:
    """Compile the library into `folder`, and remove those of other sources; raise `BuildError` on failure."""
    compiler = find_compiler()
    if compiler is None:
        raise BuildError(f"No C++ compiler found. {REMEDY}")
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    instructions = X86 if is_x86 else {"baseline": ()}
    flags = [*FLAGS, *extra_flags]
    target = library_path(folder)
    with tempfile.TemporaryDirectory(prefix="twinlib-kernels-") as temporary:
        objects = [Path(temporary) / f"{name}.o" for name in (*instructions, "interface")]
        commands = [
            [*flags, *options, f"-DENGINE=engine_{name}", f'-DENGINE_NAME="{_public_name(name)}"', "wavenet.cpp"]
            for name, options in instructions.items()
        ]
        commands.append([*flags, *instructions["baseline"], "interface.cpp"])

        def compile_one(command: list[str], output: Path) -> None:
            _run([*compiler, *command[:-1], "-c", str(SOURCES / command[-1]), "-o", str(output)])

        with ThreadPoolExecutor() as pool:
            list(pool.map(compile_one, commands, objects))
        library = Path(temporary) / target.name
        threads = [] if sys.platform in ("win32", "darwin") else ["-pthread"]
        _run([*compiler, "-shared", *extra_flags, *map(str, objects), *threads, "-o", str(library)])
        folder.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        shutil.copyfile(library, aside)
        os.replace(aside, target)
    for old in folder.glob(f"wavenet-*{target.suffix}"):
        if old != target:
            old.unlink(missing_ok=True)
    return target


def _public_name(name: str) -> str:
    if name != "baseline":
        return name
    return "neon" if platform.machine().lower() in ("aarch64", "arm64") else "generic"


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        raise BuildError(f"The C++ compiler does not start: {error}. {REMEDY}") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise BuildError(f"The C++ compiler failed: {lines[0]} (command: {shlex.join(command)}). {REMEDY}")


def main() -> int:
    """Compile the library and print its path, or print why that failed."""
    try:
        print(build())
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
