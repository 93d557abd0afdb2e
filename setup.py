"""Compile the kernels with the package. Without a compiler, the package installs all the same, and is slower."""

import runpy
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

PACKAGE = Path("twinlib", "kernels")


class BuildKernels(build_ext):
    """Compile the kernels by their own script: they are a plain shared library, without the Python headers."""

    def run(self) -> None:
        """Compile into the source folder if the installation is editable, else into the wheel."""
        kernels = runpy.run_path(str(PACKAGE / "build.py"))
        in_place = self.inplace or getattr(self, "editable_mode", False)
        try:
            kernels["build"](PACKAGE.resolve() if in_place else Path(self.build_lib, PACKAGE))
        except kernels["BuildError"] as error:
            print(f"warning: {error}", file=sys.stderr)

    def get_outputs(self) -> list[str]:
        """Return the compiled library."""
        return [str(path) for path in Path(self.build_lib, PACKAGE).glob("wavenet-*")]

    def get_output_mapping(self) -> dict[str, str]:
        """Return nothing: an editable installation compiles in place."""
        return {}


# The extension makes the wheel one of this platform; `BuildKernels` does not compile it.
setup(ext_modules=[Extension("twinlib.kernels.wavenet", [])], cmdclass={"build_ext": BuildKernels})
