# Content decides what runs again. Snakemake 9.27 compares modification times regardless of `--rerun-triggers`: a touched
# file or a fresh clone would run everything again, and an older file that replaces a take would be ignored. Therefore this
# file disables the comparison and forces outputs that do not match their stage records instead. A dry run writes nothing.
import snakemake.dag
import snakemake.io

from twinlib.contracts import DATASET
from twinlib.files import read_json
from twinlib.provenance import CACHE_FILE, ChecksumCache, find_stale_outputs

CHECKSUMS = ChecksumCache(RESULTS / CACHE_FILE)


def has_refused_capture(device):
    """Whether the dataset of a device was made although a capture was refused."""
    dataset = RESULTS / "devices" / device / "dataset.json"
    found = as_workflow_error(read_json, dataset, DATASET)["captures"].values() if dataset.is_file() else []
    return any("refused" in (capture["take_verdict"], capture["alignment_verdict"]) for capture in found)


def find_forced_outputs():
    """The outputs to make again, with the reason, by path. Files of recorded excitations only if they are missing."""
    as_workflow_error(RECORDED.require_intact, CHECKSUMS.sha256)
    stale = find_stale_outputs(RESULTS, CHECKSUMS)
    if not CONFIG.allow_missing_takes:
        refused = {f"{RESULTS}/devices/{name}/dataset.json" for name in CONFIG.devices if has_refused_capture(name)}
        stale |= dict.fromkeys(refused, "refused takes are no longer allowed")
    if CONFIG.tracking.enabled:
        stale |= {path.as_posix(): f"{path} names no run in MLflow" for path in find_unlogged_runs(RESULTS)}
    return {path: reason for path, reason in stale.items() if path not in RECORDED.protected or not Path(path).exists()}


async def never(self, time):
    return False


async def update_needrun(self, create_inventory=False, original=snakemake.dag.DAG.update_needrun):
    """Force stale outputs before Snakemake decides which jobs to run."""
    global SUMMARY_IS_CURRENT
    if not workflow.is_main_process:
        return await original(self, create_inventory)
    if workflow.executor_plugin and not workflow.dryrun and workflow.execution_settings.lock:
        refuse_unsafe_store()
        lock_run({str(file) for job in self.jobs for file in job.output})
    forced = find_forced_outputs()
    self.forcefiles.update(forced)
    await original(self, create_inventory)
    reasons = sorted({forced[file] for job in self.needrun_jobs() for file in job.output if file in forced})
    for reason in reasons[:10]:
        print(f"made again: {reason}", file=sys.stderr)
    if workflow.executor_plugin is None:
        return
    if not workflow.dryrun:
        CHECKSUMS.save()
    SUMMARY_IS_CURRENT = any(str(file) == SUMMARY.as_posix() for job in self.jobs for file in job.output)
    # Otherwise `onstart` and the end of the run report them.
    if workflow.dryrun or not len(self):
        report_corpus()
    if not len(self):
        report_results()
        report_missing_takes()


snakemake.io._IOFile.is_newer = never
snakemake.dag.DAG.update_needrun = update_needrun
