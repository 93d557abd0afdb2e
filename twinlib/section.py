"""Base class of all configuration sections."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from twinlib.formatting import CONTROL

MAX_NAME = 255
"""Longest name of a file or folder in bytes."""

_Path = TypeVar("_Path", str, Path)


class Section(BaseModel):
    """A frozen configuration section: unknown keys are errors, numbers are finite.

    Each package defines its own sections; `twinlib.config` composes them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys_only(cls, content: Any) -> Any:
        if isinstance(content, dict):
            known = {name for field, info in cls.model_fields.items() for name in (field, info.alias) if name}
            for key in content:
                if key not in known:
                    near = get_close_matches(str(key), known, n=1)
                    hint = f" (did you mean '{near[0]}'?)" if near else ""
                    raise ValueError(f"unknown key '{key}'{hint}; allowed are {', '.join(sorted(known))}")
        return content


def require_plain(path: _Path) -> _Path:
    """Return the path; raises `ValueError` if it is unusable as a name.

    The workflow would replace `{name}` and `<name>`. Control characters, such as a line break, would garble messages.
    """
    if found := CONTROL.search(str(path)):
        raise ValueError(f"{str(path)!r} contains the control character {found[0]!r}: rename the file")
    if any(len(part.encode()) > MAX_NAME for part in Path(path).parts):
        raise ValueError(f"{str(path)[:60]!r}... has a part of more than {MAX_NAME} bytes, which is no file name")
    if found := re.search(r"[{}]|<[a-z][a-z0-9_]*>", str(path)):
        raise ValueError(f"{str(path)!r} contains {found[0]!r}, which the workflow would replace: rename the file")
    return path


PlainPath = Annotated[Path, AfterValidator(require_plain)]
"""A path that the workflow passes on unchanged."""
