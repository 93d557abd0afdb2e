"""MLflow loads a logged twin by this module: `mlflow.pyfunc.load_model(URI).predict(samples)`. Nothing is unpickled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from twinlib.audio import Signal
from twinlib.model import Twin, load_twin, render_array


class TwinModel:
    """The prediction of a twin: what the device makes of samples."""

    def __init__(self, twin: Twin) -> None:
        self._twin = twin

    def predict(self, model_input: npt.ArrayLike, params: Mapping[str, Any] | None = None) -> Signal:
        """Return float32 samples `(n,)` for samples `(n,)`, as `twin render` does.

        `params["sample_rate"]` in Hz is by default that of the twin.
        """
        rate = int((params or {}).get("sample_rate", self._twin.sample_rate))
        return render_array(self._twin, np.asarray(model_input), rate)


def _load_pyfunc(path: str) -> TwinModel:
    """Load a model; MLflow finds this function by its name."""
    return TwinModel(load_twin(Path(path)))
