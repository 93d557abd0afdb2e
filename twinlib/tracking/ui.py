"""`python -m twinlib.tracking.ui`: show the twins of all devices of a results folder side by side in MLflow."""

import argparse
import json
import socket
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from urllib.parse import quote

from twinlib.cli_runtime import run
from twinlib.errors import TrackingError
from twinlib.tracking.outage import is_server
from twinlib.tracking.settings import Tracking
from twinlib.tracking.store import absolute_uri, open_client, store_exists, store_uri

_SECONDS = 120


def comparison_page(uri: str) -> str:
    """Return the page of MLflow's interface with the runs of all experiments of a store: the part after the host.

    Raises `TrackingError` if there is no store.
    """
    if not store_exists(uri):
        raise TrackingError(f"{uri} does not exist: run the workflow first, or name the results folder with --results")
    found = open_client(uri).search_experiments()
    numbers = sorted(one.experiment_id for one in found if one.name != "Default")
    if len(numbers) == 1:
        return f"/#/experiments/{numbers[0]}/runs"
    listed = quote(json.dumps(numbers, separators=(",", ":")))
    return f"/#/compare-experiments/s?experiments={listed}" if numbers else "/"


def main() -> None:
    """Start the interface without telemetry, and open the page once it answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: results)")
    parser.add_argument("--port", type=int, default=5000, help="port of the interface (default: 5000)")
    parser.add_argument("--uri", help="URI of the store, that of `tracking.uri` if the configuration names one")
    args = parser.parse_args()
    uri = absolute_uri(args.uri) if args.uri else store_uri(Tracking(), args.results)
    if is_server(uri):
        _open(uri.rstrip("/") + comparison_page(uri))
        return
    address = f"http://127.0.0.1:{args.port}"
    page = address + comparison_page(uri)
    if _is_used(args.port):
        raise TrackingError(f"port {args.port} is in use: stop its server, or choose another port with --port")
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--port", str(args.port)]
    with subprocess.Popen([*command, "--workers", "1"]) as server:
        try:
            if _answers(address, server):
                _open(page)
            elif server.poll() is None:
                print(f"MLflow does not answer after {_SECONDS} s; once it does, open {page}", file=sys.stderr)
            code = server.wait()
        except KeyboardInterrupt:
            server.terminate()
            return
    if code:
        raise TrackingError(f"the server of MLflow ended with exit code {code}: see its messages above")


def _open(page: str) -> None:
    print(f"MLflow: {page}")
    webbrowser.open(page)


def _is_used(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(5)
        return client.connect_ex(("127.0.0.1", port)) == 0


def _answers(address: str, server: "subprocess.Popen[bytes]") -> bool:
    """Wait for the server; return False if it has ended or takes too long."""
    import requests

    until = time.monotonic() + _SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            if requests.get(address + "/health", timeout=5).ok:
                return True
        except requests.RequestException:
            time.sleep(0.5)
    return False


if __name__ == "__main__":
    run(main)
