"""The files of an evaluation: metrics, verdict, linear filter, figures and listening clips."""

from pathlib import Path
from typing import TYPE_CHECKING

from twinlib.contracts import LINEAR, METRICS, VERDICT, VERDICT_FILE
from twinlib.evaluation import TwinEvaluation, verdict_content
from twinlib.files import write_json
from twinlib.listening import write_clips
from twinlib.reports import figures

if TYPE_CHECKING:
    import pandas as pd


def write_evaluation(folder: Path, evaluation: TwinEvaluation, curve: "pd.DataFrame") -> None:
    """Write `metrics.json`, `verdict.json`, `linear.json`, `figures/` and `listening/` into a folder.

    `curve` is the learning curve of contract `training/1`.
    """
    write_clips(folder / "listening", evaluation.clips, evaluation.sample_rate)
    title, metrics, test = evaluation.title, evaluation.metrics, evaluation.test
    drawn, floor = folder / "figures", metrics.get("esr_floor")
    figures.draw_waveform(
        drawn / "waveform.svg", title, evaluation.waveform, evaluation.sample_rate, evaluation.waveform_seconds
    )
    densities = [test.densities[name] for name in ("device", "twin", "error")]
    figures.draw_spectrum(drawn / "spectrum.svg", title, test.frequencies, *densities)
    figures.draw_transfer(drawn / "transfer.svg", title, test.transfers["device"], test.transfers["twin"])
    figures.draw_baselines(drawn / "esr.svg", title, metrics, floor)
    figures.draw_over_time(drawn / "esr_over_time.svg", title, metrics, floor)
    figures.draw_learning(drawn / "learning.svg", title, curve)
    # The filter includes the guard: the delay of the wet signal.
    write_json(folder / "linear.json", LINEAR, {"sample_rate": evaluation.sample_rate, "fir": test.fir.tolist()})
    write_json(folder / VERDICT_FILE, VERDICT, verdict_content(metrics))
    write_json(folder / "metrics.json", METRICS, metrics)
