"""Many devices to the end, locally and through SLURM, with equal sums; then one more device: only its jobs run.

    python -m tests.cluster.many_devices --devices 20     three reels and one twin a device

Needs what `slurm.py` and `plugins.py` need. Prints the wall time and the number of jobs of each run.
"""

import argparse
import copy
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import slurm
from tests.cluster.plugins import PLUGINS
from tests.cluster.test_slurm import Driver
from tests.workflow.project import REPOSITORY, TINY, Project, make_project
from tests.workflow.storm import checksums

REELS = 3


def configure(devices: int) -> dict[str, Any]:
    """Return the configuration of simulated devices, each with three reels of some seconds and a small twin."""
    content = copy.deepcopy({key: TINY[key] for key in ("corpus", "excitations", "dataset", "models", "evaluation")})
    content["excitations"]["tiny"] |= {"slices": 90, "reel_minutes": 0.15, "witness": False}
    content["devices"] = {
        f"amp{number:02d}": {
            "excitation": "tiny",
            "simulate": {"circuit": "diode_clipper", "drive": 0.1, "recorder": {"drift_ppm": number, "seed": number}},
        }
        for number in range(devices)
    }
    content["training"] = {**TINY["training"], "device": "cpu"}
    content["tracking"] = {"enabled": False}
    return content


def write_profile(project: Project) -> None:
    """Write the profile for SLURM with less waiting and larger groups, because these jobs are short."""
    profile = yaml.safe_load((REPOSITORY / "workflow/profiles/slurm/profile.yaml").read_text())
    profile["slurm-init-seconds-before-status-checks"] = 1
    profile["latency-wait"] = 5
    profile["groups"] |= {"cut_shard": "shard", "train_twin": "training"}
    profile["group-components"] = {"capture": 30, "shard": 30, "dataset": 10, "training": 10, "evaluation": 10}
    # A group must fit a node of the test cluster.
    profile["resources"] = {"mem_mb": slurm.MEMORY, "threads": slurm.CORES}
    (project.folder / "profile").mkdir()
    (project.folder / "profile" / "profile.yaml").write_text(yaml.safe_dump(profile))


def timed(name: str, run: Callable[[], int]) -> None:
    """Run a driver, print its wall time, and stop if it fails."""
    start = time.monotonic()
    code = run()
    print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
    if code:
        sys.exit(f"{name} failed with code {code}")


def run_locally(project: Project) -> int:
    """Run Snakemake on this machine with two cores; return its exit code."""
    run = project.run()
    if run.code:
        print(run.text[-4000:])
    print(f"{sum(run.rules.values())} jobs: {run.rules}")
    return run.code


def run_on_cluster(project: Project, home: Path) -> int:
    """Run Snakemake with SLURM; return its exit code."""
    with slurm.cluster(home) as jobs:
        driver = Driver(project, home / "driver.txt")
        code = driver.start().wait(timeout=7200)
        if code:
            print(driver.log.read_text()[-4000:])
        states = [job["JobState"] for job in slurm.finished_jobs(jobs)]
        print(f"{len(states)} SLURM jobs: { ({state: states.count(state) for state in sorted(set(states))}) }")
    return code


def main() -> None:
    """Make the project twice, compare the sums, and add a device."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--devices", type=int, default=20)
    args = parser.parse_args()
    if why := slurm.missing() or ("" if PLUGINS.exists() else "run `make cluster`"):
        sys.exit(why)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        local, remote = (make_project(folder / place / "project") for place in ("local", "remote"))
        for project in (local, remote):
            project.write(configure(args.devices))
        write_profile(remote)
        timed("locally", lambda: run_locally(local))
        timed("through SLURM", lambda: run_on_cluster(remote, folder / "slurm"))
        sums = checksums(local)
        assert len([path for path in sums if path.endswith("take.json")]) == REELS * args.devices
        assert len([path for path in sums if path.endswith("twin.safetensors")]) == args.devices
        assert checksums(remote) == sums
        print(f"{len(sums)} files with equal sums")
        local.write(configure(args.devices + 1))
        added = f"amp{args.devices:02d}"
        plan = local.dry().text
        check_plan(plan, added)
        timed("one more device", lambda: run_locally(local))
        after = checksums(local)
        assert {path: after[path] for path in sums} == sums
        assert {path.split("/")[1] for path in after.keys() - sums.keys()} == {added}
        print(f"{len(after) - len(sums)} new files, all of {added}")


def check_plan(plan: str, added: str) -> None:
    """Check that a dry run plans jobs of one device only, apart from the tables of all twins."""
    wildcards = [line.split(": ", 1)[1] for line in plan.splitlines() if line.strip().startswith("wildcards: ")]
    assert wildcards
    assert all(f"device={added}" in found for found in wildcards), wildcards


if __name__ == "__main__":
    main()
