# The same command always goes on after a kill. Snakemake's lock files stay behind when it is killed, and name no owner.
# Therefore a run locks its results folder (see twinlib/run_lock.py). With this lock it ends the jobs of a killed run and
# removes the lock files that mention its own outputs.
from snakemake.io import IOCache

from twinlib.cli_runtime import terminate_on_hangup
from twinlib.files import require_space
from twinlib.run_lock import LOCK_FILE, end_run, lock_results, slurm_prefix

# Snakemake ends with a traceback if it cannot write its own files, of some kilobytes for each job.
MIN_FREE = 20_000_000


def find_old_locks(outputs):
    """The lock files of Snakemake that mention one of these outputs."""
    for path in sorted((Path(workflow.persistence.path) / "locks").glob("*.lock")):
        if not outputs.isdisjoint(path.read_text(encoding="utf-8", errors="replace").splitlines()):
            yield path


HELD_LOCKS = []


def lock_run(outputs):
    """Lock the results folder until the end of this process, unless it is locked, and take over a killed run's lock."""
    if HELD_LOCKS:
        return
    for path in (Path(workflow.persistence.path) / "locks", RESULTS / LOCK_FILE):
        as_workflow_error(require_space, path, MIN_FREE)
    held = as_workflow_error(lock_results, RESULTS)
    if held is None:
        return
    locks, last = list(find_old_locks(outputs)), held.last
    if last is not None:
        if locks and not last.is_local:
            raise WorkflowError(
                f"{RESULTS} is locked by a run on another host: {last}. If that run has ended, repeat this command with "
                "--unlock, then without it"
            )
        cancelled, ended = as_workflow_error(end_run, last)
        for path in locks:
            path.unlink(missing_ok=True)
        if ended or cancelled:
            # Their last acts may have made or deleted files that Snakemake has already looked up. `clear` of the cache
            # would mark all of them as missing.
            workflow.iocache = IOCache(workflow.dag_settings.max_inventory_wait_time)
        if locks or ended or cancelled:
            jobs = f", whose {ended} remaining processes were ended" if ended else ""
            jobs += f", whose {cancelled} SLURM jobs were cancelled" if cancelled else ""
            print(f"Going on after a killed run ({last}){jobs}.", file=sys.stderr)
    # The next run finds the jobs of this one by their names. Only SLURM's executor has this setting.
    slurm = getattr(workflow.executor_settings, "jobname_prefix", None) == ""
    token = held.register(slurm)
    if slurm:
        workflow.executor_settings.jobname_prefix = slurm_prefix(token)
    HELD_LOCKS.append(held)


if workflow.is_main_process:
    terminate_on_hangup()
