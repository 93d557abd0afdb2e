# Names and settings that the rules share. The logic is in the library; this file only defines paths.
import gc
import json
import re
import shutil
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

import twinlib
from twinlib.config import load_config
from twinlib.capture import find_captures, merge_card
from twinlib.corpus import describe_corpus, file_names_digest, read_exclusions, source_files
from twinlib.errors import TwinError
from twinlib.evaluation import PROBE_FIGURES
from twinlib.excitation import RecordedExcitations
from twinlib.extras import require_modules
from twinlib.tracking import find_unlogged_runs, forget_outage, require_server, require_shared_store, store_uri

# By default, the collector of cyclic garbage walks over the growing graph of jobs for a fifth of the time of planning.
gc.set_threshold(100_000, 50, 50)

# If another workflow uses this one as a module, `workflow.basedir` is the folder of the other.
REPOSITORY = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).parents[1]
if not REPOSITORY.is_dir():
    # The module comes from a URL; the programs come from the installation.
    REPOSITORY = Path(twinlib.__file__).parents[1]
SCRIPTS = REPOSITORY / "scripts"
IS_MODULE = not workflow.modifier.is_main_snakefile()


def as_workflow_error(function, *arguments):
    """Call a library function; its errors end the run with a message and no traceback."""
    try:
        return function(*arguments)
    except TwinError as error:
        raise WorkflowError(str(error)) from None


# Snakemake reads YAML 1.1, in which a knob at 12:30 is 750: the files are read again.
CONFIG_FILES = [Path(path) for path in workflow.overwrite_configfiles] or [Path("config/config.yaml")]
SOURCE = ", ".join(map(str, CONFIG_FILES))
if IS_MODULE:
    CONFIG_FILES, SOURCE = [], "config of the module"
CONFIG = as_workflow_error(
    lambda: load_config(*CONFIG_FILES, overrides=config if IS_MODULE else workflow.config_settings.config)
)
# Without this check, hours of work would end with a missing module.
as_workflow_error(
    require_modules,
    *("jinja2", "matplotlib", "onnx", "psutil"),
    *(["mlflow"] if CONFIG.tracking.enabled else []),
    *(["optuna"] if CONFIG.search else []),
)
RESULTS = Path(CONFIG.results)
TWINS = CONFIG.twins()
TRAINING_GPUS = int(
    CONFIG.training.device == "cuda" or (CONFIG.training.device == "auto" and bool(shutil.which("nvidia-smi")))
)
TRACKING = CONFIG.tracking.model_dump_json()
OUTAGE = RESULTS / "mlflow" / ".outage"


wildcard_constraints:
    excitation="[^/]+",
    reel="[^/]+",
    device="[^/]+",
    capture="[^/]+",
    model="[^/]+",
    search="[^/]+",
    worker="[0-9]+",


if CONFIG.excitations:
    as_workflow_error(source_files, CONFIG.corpus)
    if CONFIG.corpus.exclude:
        as_workflow_error(read_exclusions, CONFIG.corpus.exclude)

CAPTURES = as_workflow_error(find_captures, RESULTS, CONFIG.devices, CONFIG.excitations)
# A device with missing takes waits, unless the user allows missing takes.
WAITING = [name for name, one in CAPTURES.items() if one.missing and not (CONFIG.allow_missing_takes and one.music)]
READY = [name for name in CONFIG.devices if name not in WAITING]
SEARCHES = [name for name, search in CONFIG.search.items() if search.device in READY]
READY_TWINS = [
    twin for twin in TWINS if twin.device in READY and (twin.model not in CONFIG.search or twin.model in SEARCHES)
]

# A recorded excitation is a source: see twinlib/excitation/recorded.py.
RECORDED = RecordedExcitations(
    RESULTS, CONFIG.excitations, {name: CONFIG.take_patterns(name).values() for name in CONFIG.excitations}
)
as_workflow_error(RECORDED.require_unchanged, SOURCE)
ACTIVE_PLANS, ACTIVE_REELS = (
    "|".join(map(re.escape, RECORDED.active(files))) or "(?!)" for files in (RECORDED.plan_files, RECORDED.files)
)
# Read each cue sheet once: it may have a hundred thousand slices.
EXCLUDED_TRACKS = {
    name: as_workflow_error(RECORDED.excluded_tracks, name, CONFIG.corpus) for name in sorted(CONFIG.excitations)
}
DIVIDED = {
    name: as_workflow_error(RECORDED.divided_families, name, CONFIG.corpus) for name in sorted(CONFIG.excitations)
}


def report_corpus():
    """Print the notes of the last index, the files passed over now, and divided artists on recorded reels."""
    if not CONFIG.excitations:
        return
    for line in as_workflow_error(describe_corpus, CONFIG.corpus, RESULTS / "corpus" / "index.json"):
        print(f"corpus: {line}", file=sys.stderr)
    for name, families in DIVIDED.items():
        for family in families:
            print(f"excitation {name}: {family.sentence}", file=sys.stderr)


def refuse_unsafe_store():
    """Stop a run on several hosts whose MLflow store must be written by one."""
    if not workflow.local_exec and CONFIG.tracking.enabled and (TWINS or SEARCHES):
        as_workflow_error(require_shared_store, store_uri(CONFIG.tracking, RESULTS))


def start_tracking():
    """Warn if the MLflow server does not answer. No process of this run then waits for it again."""
    if not (CONFIG.tracking.enabled and (TWINS or SEARCHES)):
        return
    forget_outage(OUTAGE)
    try:
        require_server(store_uri(CONFIG.tracking, RESULTS))
    except TwinError as error:
        print(f"warning: {error} The run goes on without it; the same command logs its twins later.", file=sys.stderr)


def report_unlogged_runs():
    """List the twins and searches that are not logged, because the MLflow server did not answer."""
    if OUTAGE.exists():
        OUTAGE.unlink()
    names = [path.parent.relative_to(RESULTS).as_posix() for path in find_unlogged_runs(RESULTS)]
    if CONFIG.tracking.enabled and names:
        print(
            f"Not logged in MLflow yet: {', '.join(names)}. Start the server and run the same command.", file=sys.stderr
        )


def describe_missing():
    """The reels to record, a text for each device that waits and whose reels exist."""
    waiting = [CAPTURES[name] for name in WAITING]
    return [one.waiting for one in waiting if all(one[reel].dry.is_file() for reel, _ in one.missing)]


def report_missing_takes():
    """List the reels to record. Missing takes are an error only with `strict_takes`."""
    lines = describe_missing()
    if WAITING and CONFIG.strict_takes:
        raise WorkflowError("\n".join(lines or [f"takes are missing: {', '.join(WAITING)}"]))
    print(*lines, sep="\n", end="\n" if lines else "", file=sys.stderr)
