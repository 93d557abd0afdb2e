"""Jinja2 environments for self-contained HTML pages: escaped values, undefined names raise."""

import base64
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from twinlib.formatting import format_db, format_signed_db, percent


@cache
def html_environment(package: str) -> Environment:
    """Return the environment for the folder `templates` of a package.

    Filters: `percent`, `db` and `signed_db` (one decimal), `base64`. The global `source(name)` inserts a file, such as
    a script, verbatim.
    """
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    environment.filters |= {
        "percent": percent,
        "base64": _encode_base64,
        "db": format_db,
        "signed_db": format_signed_db,
    }

    def source(name: str) -> Markup:
        assert environment.loader is not None
        return Markup(environment.loader.get_source(environment, name)[0])

    environment.globals["source"] = source
    return environment


def _encode_base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
