"""Optional packages: the extra of the installation that brings each."""

from collections.abc import Iterable
from importlib.util import find_spec

from twinlib.errors import ConfigError

EXTRAS = {
    "jinja2": "pages",
    "markupsafe": "pages",
    "matplotlib": "pages",
    "mlcroissant": "audit",
    "mlflow": "tracking",
    "onnx": "export",
    "optuna": "search",
    "psutil": "workflow",
    "requests": "tracking",
    "rocrate": "audit",
    "snakemake": "workflow",
    "sounddevice": "record",
    "visqol": "perceptual",
}
"""The extra by module; all other modules are requirements of the package."""


def describe_missing_modules(modules: Iterable[str]) -> str:
    """Return a message that names modules and the extras to install; each module is one of `EXTRAS`."""
    names = sorted(modules)
    extras = sorted({EXTRAS[name] for name in names})
    are = "are" if len(names) > 1 else "is"
    return f"{', '.join(names)} {are} not installed: run `pip install -e '.[{','.join(extras)}]'` in the repository"


def require_modules(*modules: str) -> None:
    """Raise `ConfigError`, with the extras to install, unless all modules are installed. Imports none."""
    if missing := [name for name in modules if find_spec(name) is None]:
        raise ConfigError(describe_missing_modules(missing))
