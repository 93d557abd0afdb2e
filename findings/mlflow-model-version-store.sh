#!/usr/bin/env bash
# MlflowClient(uri).create_model_version("name", "models:/ID") of MLflow 3.17.2 does not look for the model in the store of the
# client, but in that of the process (MLFLOW_TRACKING_URI, by default mlflow.db in the working directory), which it creates.
# The logged model is "not found". The same call with the location of its artifacts as source works.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset MLFLOW_TRACKING_URI
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mlflow==3.17.2
cat > register.py <<'PYTHON'
import logging
import os

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

logging.disable()
client = MlflowClient("sqlite:///mine.db", registry_uri="sqlite:///mine.db")
experiment = client.create_experiment("experiment", artifact_location=f"file://{os.getcwd()}/artifacts")
run = client.create_run(experiment).info.run_id
model = client.create_logged_model(experiment, name="model", source_run_id=run)
client.finalize_logged_model(model.model_id, "READY")
client.create_registered_model("name")
try:
    client.create_model_version("name", f"models:/{model.model_id}", run)
    print("registered")
except MlflowException as error:
    print("not found" if "not found" in str(error) else error)
print("stray store" if os.path.exists("mlflow.db") else "no stray store")
print(client.create_model_version("name", model.artifact_location, run, model_id=model.model_id).status)
PYTHON

seen=$(MLFLOW_DISABLE_TELEMETRY=true venv/bin/python register.py 2> /dev/null | paste --serial --delimiters=";")
echo "$seen"
[ "$seen" = "not found;stray store;READY" ]
