"""Trials of a search: values, table and text."""

import json
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from twinlib.errors import TrainingError
from twinlib.files import sha256_bytes
from twinlib.model import Architecture
from twinlib.training.search_settings import Parameters

Outcome = Literal["running", "complete", "pruned", "diverged"]
"""`complete`: reached the largest budget; `pruned`: not among the best third with a smaller budget."""

MIN_ESR = 1e-12
"""Lower limit of the error in logarithms."""

SHOWN_TRIALS = 10
"""Number of trials in the text."""


@dataclass(frozen=True)
class Rung:
    """Result of a trial with one budget."""

    valid_esr: float
    """Lowest validation ESR; 1, that of silence, if the training diverged."""
    steps: int = 0
    """Steps done; 0 if it diverged."""
    cpu_seconds: float = 0.0
    """CPU time used; 0 if it diverged."""
    diverged: bool = False
    """Whether the training diverged."""

    @property
    def score(self) -> float:
        """Objective to minimise: log10 of the error."""
        return math.log10(max(self.valid_esr, MIN_ESR))


@dataclass(frozen=True)
class Trial:
    """One trial, finished or not."""

    number: int
    """Number in starting order; trial 0 is the base."""
    parameters: Parameters
    """Parameters."""
    rungs: tuple[Rung, ...]
    """Results, from the smallest budget on."""
    outcome: Outcome
    """Outcome."""


def best_trial(trials: Sequence[Trial]) -> Trial:
    """Return the complete trial with the lowest validation error, the earliest in case of a tie.

    Raises `TrainingError` if no trial is complete.
    """
    complete = [trial for trial in trials if trial.outcome == "complete"]
    if not complete:
        raise TrainingError(
            "No trial of the search reached the largest budget: all trainings diverged. Lower muon_rate and adamw_rate "
            "in its space and in `training`"
        )
    return min(complete, key=lambda trial: (trial.rungs[-1].valid_esr, trial.number))


def trials_digest(trials: Sequence[Trial]) -> str:
    """Return a sha256 over parameters and errors of the finished trials; independent of times."""
    content = [
        [trial.number, trial.parameters.model_dump_json(), [rung.valid_esr for rung in trial.rungs]]
        for trial in trials
        if trial.outcome != "running"
    ]
    return sha256_bytes(json.dumps(content).encode())


def to_table(trials: Sequence[Trial], base: Architecture) -> pd.DataFrame:
    """Return one row per trial: number, outcome, parameters, multiply-adds, and lists with one entry per budget."""
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
    """Return the trials of a table of `to_table`."""
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


def format_trials(trials: Sequence[Trial], base: Architecture, budgets: Sequence[str]) -> str:
    """Return a text table of the best trials, by budget and validation error, and of the base.

    `budgets` holds the label of each budget.
    """
    ranked = sorted(
        (trial for trial in trials if trial.rungs), key=lambda trial: (-len(trial.rungs), trial.rungs[-1].valid_esr)
    )
    shown = ranked[:SHOWN_TRIALS] + [trial for trial in ranked[SHOWN_TRIALS:] if trial.number == 0]
    head = (
        f"{'trial':>5}  {'valid ESR':>9}  {'after':>12}  {'mul-adds':>8}  {'channels':>8}  {'kernel':>6}  "
        f"{'activation':<10}  {'muon':>7}  {'adamw':>7}  {'batch':>5}  {'crop':>5}  {'emph.':>5}  dilations"
    )
    lines = [head, "-" * len(head), *(_format_trial(trial, base, budgets[len(trial.rungs) - 1]) for trial in shown)]
    counts = [f"{sum(trial.outcome == name for trial in trials)} {name}" for name in ("complete", "pruned", "diverged")]
    lines.append(f"{len(trials)} trials: {', '.join(counts)}; trial 0 is the base")
    return "\n".join(lines) + "\n"


def _format_trial(trial: Trial, base: Architecture, budget: str) -> str:
    tried = trial.parameters
    return (
        f"{trial.number:>5}  {100 * trial.rungs[-1].valid_esr:>7.3g} %  {budget:>12}  "
        f"{tried.network(base).network.multiply_adds:>8}  {tried.channels:>8}  {tried.kernel_size:>6}  "
        f"{tried.activation:<10}  {tried.muon_rate:>7.2g}  {tried.adamw_rate:>7.2g}  {tried.batch:>5}  "
        f"{tried.crop_samples:>5}  {tried.preemphasis_weight:>5.2f}  {' '.join(map(str, tried.dilations))}"
    )
