"""Settings of the MLflow store. A separate module, so that reading a configuration does not import MLflow."""

from twinlib.section import Section


class Tracking(Section):
    """The experiment store."""

    enabled: bool = True
    """Log runs to MLflow. The results folder holds the learning curves and metrics in either case."""
    uri: str | None = None
    """URI of the MLflow store; null means `mlflow/mlflow.db` in the results. MLFLOW_TRACKING_URI overrides both."""
