"""What the trials of a search did, as values, as a table, and as text for people."""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from twinlib.errors import TrainingError
from twinlib.files import sha256_bytes
from twinlib.model.architecture import Architecture
from twinlib.training.search_settings import Parameters

Outcome = Literal["running", "complete", "pruned", "diverged"]
"""`complete` reached the largest budget, `pruned` was not among the best with a smaller one; `diverged` says it all."""

LEAST_ESR = 1e-12
"""Least error that a logarithm is taken of."""

SHOWN = 10
"""Trials that the text shows."""


@dataclass(frozen=True)
class Rung:
    """How a trial did with one budget."""

    valid_esr: float
    """Lowest validation error, a ratio of energies; 1, that of silence, if the training diverged."""
    steps: int = 0
    """Steps done; 0 if it diverged."""
    cpu_seconds: float = 0.0
    """Processor time spent; 0 if it diverged."""
    diverged: bool = False
    """Whether the training diverged."""

    @property
    def score(self) -> float:
        """What is made small: the common logarithm of the error."""
        return math.log10(max(self.valid_esr, LEAST_ESR))


@dataclass(frozen=True)
class Trial:
    """One trial, finished or not."""

    number: int
    """Counted from 0, in the order in which they were begun; trial 0 is the base."""
    parameters: Parameters
    """What it tried."""
    rungs: tuple[Rung, ...]
    """How it did, from the smallest budget on."""
    outcome: Outcome
    """How it ended."""


def best_trial(trials: Sequence[Trial]) -> Trial:
    """The complete trial with the lowest validation error, of equals the earliest; `TrainingError` if there is none."""
    complete = [trial for trial in trials if trial.outcome == "complete"]
    if not complete:
        raise TrainingError(
            "No trial of the search reached the largest budget, for all trainings diverged: lower muon_rate and "
            "adamw_rate in its space and in `training`"
        )
    return min(complete, key=lambda trial: (trial.rungs[-1].valid_esr, trial.number))


def summary(trials: Sequence[Trial]) -> str:
    """A sha256 over what the finished trials tried and reached, times aside."""
    content = [
        [trial.number, trial.parameters.model_dump_json(), [rung.valid_esr for rung in trial.rungs]]
        for trial in trials
        if trial.outcome != "running"
    ]
    return sha256_bytes(json.dumps(content).encode())


def to_table(trials: Sequence[Trial], base: Architecture) -> pd.DataFrame:
    """A row a trial: number, outcome, what it tried, multiply-adds a sample, and lists with an entry a budget."""
    rows = [
        {
            "number": trial.number,
            "outcome": trial.outcome,
            **trial.parameters.model_dump(),
            "dilations": list(trial.parameters.dilations),
            "multiply_adds": trial.parameters.network(base).network.multiply_adds,
            "valid_esr": [rung.valid_esr for rung in trial.rungs],
            "steps": [rung.steps for rung in trial.rungs],
            "cpu_seconds": [rung.cpu_seconds for rung in trial.rungs],
            "diverged": [rung.diverged for rung in trial.rungs],
        }
        for trial in trials
    ]
    return pd.DataFrame(rows)


def from_table(table: pd.DataFrame) -> list[Trial]:
    """The trials of a table made by `to_table`."""
    return [_trial(row) for row in table.to_dict("records")]


def _trial(row: Mapping[Hashable, Any]) -> Trial:
    content = {name: row[name] for name in Parameters.model_fields}
    content["dilations"] = [int(dilation) for dilation in row["dilations"]]
    rungs = zip(row["valid_esr"], row["steps"], row["cpu_seconds"], row["diverged"], strict=True)
    return Trial(
        int(row["number"]),
        Parameters.model_validate(content),
        tuple(Rung(float(esr), int(steps), float(seconds), bool(diverged)) for esr, steps, seconds, diverged in rungs),
        row["outcome"],
    )


def as_text(trials: Sequence[Trial], base: Architecture, budgets: Sequence[str]) -> str:
    """A table for people: the best trials by their validation error, those with the larger budget first; and the base.

    `budgets` says each budget in words.
    """
    ranked = sorted(
        (trial for trial in trials if trial.rungs), key=lambda trial: (-len(trial.rungs), trial.rungs[-1].valid_esr)
    )
    shown = ranked[:SHOWN] + [trial for trial in ranked[SHOWN:] if trial.number == 0]
    head = (
        f"{'trial':>5}  {'valid ESR':>9}  {'after':>12}  {'mul-adds':>8}  {'channels':>8}  {'kernel':>6}  "
        f"{'activation':<10}  {'muon':>7}  {'adamw':>7}  {'batch':>5}  {'crop':>5}  {'emph.':>5}  dilations"
    )
    lines = [head, "-" * len(head), *(_line(trial, base, budgets[len(trial.rungs) - 1]) for trial in shown)]
    counts = [f"{sum(trial.outcome == name for trial in trials)} {name}" for name in ("complete", "pruned", "diverged")]
    lines.append(f"{len(trials)} trials: {', '.join(counts)}; trial 0 is the base")
    return "\n".join(lines) + "\n"


def _line(trial: Trial, base: Architecture, budget: str) -> str:
    found = trial.parameters
    return (
        f"{trial.number:>5}  {100 * trial.rungs[-1].valid_esr:>7.3g} %  {budget:>12}  "
        f"{found.network(base).network.multiply_adds:>8}  {found.channels:>8}  {found.kernel_size:>6}  "
        f"{found.activation:<10}  {found.muon_rate:>7.2g}  {found.adamw_rate:>7.2g}  {found.batch:>5}  "
        f"{found.crop_samples:>5}  {found.preemphasis_weight:>5.2f}  {' '.join(map(str, found.dilations))}"
    )
