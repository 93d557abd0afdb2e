"""Where runs are logged; apart from `tracking`, so that reading a configuration does not wait for MLflow."""

from twinlib.settings import Settings


class Tracking(Settings):
    """The experiment store."""

    enabled: bool = True
    """Log runs to MLflow. The learning curves and metrics are files of the results either way."""
    uri: str | None = None
    """The MLflow store; null means `mlflow/mlflow.db` in the results. MLFLOW_TRACKING_URI goes before both."""
