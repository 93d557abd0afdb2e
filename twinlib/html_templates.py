"""Jinja2 environments for self-contained HTML pages: escaped values, undefined names raise."""

import base64
import hashlib
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from twinlib.formatting import format_db, format_signed_db, percent


@cache
def html_environment(package: str) -> Environment:
    """Return the environment for the folder `templates` of a package.

    Filters: `percent`, `db` and `signed_db` (one decimal), `base64`. The global `source(name)` inserts a file, such as
    a script, verbatim; `policy(name)` is the Content-Security-Policy of a page whose only script it is.
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

    def policy(script: str) -> Markup:
        # The templates insert a script after a line break.
        return Markup(content_policy("\n" + source(script)))

    environment.globals |= {"source": source, "policy": policy}
    return environment


def content_policy(script: str) -> str:
    """Return the Content-Security-Policy of a page with one script: nothing is loaded, and no other script runs."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )


def _encode_base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
