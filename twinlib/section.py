"""Base class of all configuration sections."""

import re
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

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
    """Return the path; raises `ValueError` if it contains `{name}` or `<name>`, which the workflow would replace."""
    if found := re.search(r"[{}]|<[a-z][a-z0-9_]*>", str(path)):
        raise ValueError(f"{str(path)!r} contains {found[0]!r}, which the workflow would replace: rename the file")
    return path


PlainPath = Annotated[Path, AfterValidator(require_plain)]
"""A path that the workflow passes on unchanged."""
