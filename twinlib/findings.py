"""Findings: results of checks as data, and the tables that turn them into sentences.

A check returns `Finding`s, made by `info`, `suspect` or `refused`. The verdict follows from their severities. Each
stage has one `Messages` table, which maps every code to a sentence: what is wrong, where, and what to do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from string import Formatter
from typing import Any, Literal

Severity = Literal["info", "suspect", "refused"]
Verdict = Literal["ok", "suspect", "refused"]
Value = int | float | str


@dataclass(frozen=True)
class Span:
    """The range [start, stop) of a file, in seconds or in samples."""

    file: str
    start: float
    stop: float
    unit: Literal["seconds", "samples"] = "seconds"


@dataclass(frozen=True)
class Finding:
    """The result of one check: a code in kebab case, its severity, its place, and the measured values by name.

    Findings of severity `info` do not change the verdict; `suspect` marks usable data that a person should check;
    `refused` marks useless data.
    """

    code: str
    severity: Severity
    span: Span | None = None
    values: Mapping[str, Value] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Finding":
        """Return the finding from the result of `to_dict`; raises `KeyError` or `TypeError` for anything else."""
        span = content["span"]
        return cls(**{**content, "span": Span(**span) if span is not None else None, "values": dict(content["values"])})


def info(code: str, span: Span | None = None, /, **values: Value) -> Finding:
    """Return a finding that does not change the verdict."""
    return Finding(code, "info", span, values)


def suspect(code: str, span: Span | None = None, /, **values: Value) -> Finding:
    """Return a finding on usable data that a person should check."""
    return Finding(code, "suspect", span, values)


def refused(code: str, span: Span | None = None, /, **values: Value) -> Finding:
    """Return a finding on useless data."""
    return Finding(code, "refused", span, values)


def verdict(findings: Iterable[Finding]) -> Verdict:
    """Return `refused` or `suspect`, whichever is the worst severity, else `ok`."""
    severities = {finding.severity for finding in findings}
    return "refused" if "refused" in severities else "suspect" if "suspect" in severities else "ok"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of some verdicts; `ok` if there are none."""
    order: tuple[Verdict, ...] = ("ok", "suspect", "refused")
    return max(verdicts, key=order.index, default="ok")


class _Plurals(Formatter):
    """`str.format` with one more format: `{count:singular|plural}` selects the first word if the value is 1."""

    def format_field(self, value: Any, format_spec: str) -> str:
        singular, separator, plural = format_spec.partition("|")
        if separator:
            return singular if value == 1 else plural
        return str(super().format_field(value, format_spec))


class Messages:
    """The sentences of a stage by code, as templates over the values of a finding and the fields of its span.

    >>> messages = Messages({"lost-samples": "{samples} {samples:sample|samples} lost at {start:.1f} s of {file}"})
    >>> messages.sentence(suspect("lost-samples", Span("take.wav", 2.5, 2.6), samples=1))
    '1 sample lost at 2.5 s of take.wav'
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._templates = dict(templates)

    @property
    def codes(self) -> frozenset[str]:
        """The codes that have a sentence."""
        return frozenset(self._templates)

    @property
    def templates(self) -> Mapping[str, str]:
        """The sentences by code, with their placeholders."""
        return dict(self._templates)

    def replace(self, templates: Mapping[str, str]) -> "Messages":
        """Return the table with other sentences for some codes; raises `KeyError` for a code without a sentence."""
        if unknown := sorted(set(templates) - self.codes):
            raise KeyError(unknown[0])
        return Messages({**self._templates, **templates})

    def sentence(self, finding: Finding) -> str:
        """Return the sentence of a finding; raises `KeyError` if the code or a value of its template is missing."""
        span = asdict(finding.span) if finding.span is not None else {}
        return _Plurals().vformat(self._templates[finding.code], (), {**span, **finding.values})

    def reasons(self, findings: Iterable[Finding]) -> tuple[str, ...]:
        """Return the sentences of all findings that change the verdict, in their order."""
        return tuple(self.sentence(finding) for finding in findings if finding.severity != "info")

    def notes(self, findings: Iterable[Finding]) -> tuple[str, ...]:
        """Return the sentences of all findings that do not change the verdict, in their order."""
        return tuple(self.sentence(finding) for finding in findings if finding.severity == "info")
