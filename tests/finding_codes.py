"""The finding codes that the modules of a package use."""

import ast
from collections.abc import Iterable
from pathlib import Path

from twinlib.findings import Finding, Messages, Span, Value

_MAKERS = {"info", "suspect", "refused", "Finding"}


def used_codes(paths: Iterable[Path]) -> set[str]:
    """Return every literal code in a call of `info`, `suspect`, `refused` or `Finding`, conditional ones included."""
    codes: set[str] = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in _MAKERS:
                    codes |= set(_literals(node.args[0]))
    return codes


def written_out(messages: Messages, code: str) -> str:
    """Return the sentence of a code with 1 for every value."""
    values: dict[str, Value] = {}
    while True:
        try:
            return messages.sentence(Finding(code, "suspect", Span("wet", 1, 2), values))
        except KeyError as missing:
            values[missing.args[0]] = 1


def _literals(node: ast.expr) -> list[str]:
    if isinstance(node, ast.IfExp):
        return _literals(node.body) + _literals(node.orelse)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    raise AssertionError(f"line {node.lineno}: the code of a finding must be a literal")
