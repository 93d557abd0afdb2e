# Names and settings that the rules share. The logic is in the library; this file only defines paths.
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from twinlib.config import load_config
from twinlib.capture import aligned_range, describe_missing_takes, existing_takes, missing_takes, read_pairs
from twinlib.contracts import INDEX
from twinlib.corpus import count_passed_over, describe_index, file_names_digest, read_exclusions, source_files
from twinlib.errors import TwinError
from twinlib.evaluation import PROBE_FIGURES
from twinlib.excitation import RecordedExcitations, take_path
from twinlib.files import read_json
from twinlib.provenance import digest
from twinlib.tracking import require_server, store_uri

REPOSITORY = Path(workflow.basedir).parent
SCRIPTS = REPOSITORY / "scripts"


def as_workflow_error(function, *arguments):
    """Call a library function; its errors end the run with a message and no traceback."""
    try:
        return function(*arguments)
    except TwinError as error:
        raise WorkflowError(str(error)) from None


# Snakemake reads YAML 1.1, in which a knob at 12:30 is 750: the files are read again.
CONFIG_FILES = [Path(path) for path in workflow.overwrite_configfiles] or [Path("config/config.yaml")]
SOURCE = ", ".join(map(str, CONFIG_FILES))
CONFIG = as_workflow_error(lambda: load_config(*CONFIG_FILES, overrides=workflow.config_settings.config))
RESULTS = Path(CONFIG.results)
TWINS = CONFIG.twins()
TRAINING_GPUS = int(
    CONFIG.training.device == "cuda" or (CONFIG.training.device == "auto" and bool(shutil.which("nvidia-smi")))
)
TRACKING = CONFIG.tracking.model_dump_json()

# Every rule runs its program as `stage NAME`, with this Python and one thread (several threads are slow on a busy core).
# MLflow sends no telemetry and gives up on an unreachable server after seconds instead of minutes.
PRELUDE = (
    "set -euo pipefail; export OMP_NUM_THREADS=1 MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true "
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES=${MLFLOW_HTTP_REQUEST_MAX_RETRIES:-2} "
    f"PYTHONWARNINGS=ignore::FutureWarning; stage() {{ {shlex.quote(sys.executable)} "
    f'{shlex.quote(str(SCRIPTS))}/"$1".py "${{@:2}}"; }}; '
)
# Snakemake formats the prelude.
shell.prefix(PRELUDE.replace("{", "{{").replace("}", "}}"))


wildcard_constraints:
    excitation="[^/]+",
    reel="[^/]+",
    device="[^/]+",
    capture="[^/]+",
    model="[^/]+",
    search="[^/]+",
    worker="[0-9]+",


def code(script):
    """The digest of a script and of the library code that it uses. If it changes, the outputs are made again."""
    return digest(SCRIPTS / script, REPOSITORY)


def probes_of(excitation):
    """The name of an excitation's probe reel in a list; empty if there is none."""
    return [name for name in [CONFIG.probe(excitation)] if name]


PAIRS = {
    name: {
        pair.capture: pair
        for pair in as_workflow_error(read_pairs, device.pairs, device.channel, device.reference_channel)
    }
    for name, device in CONFIG.devices.items()
    if device.pairs
}
for _pair in (pair for pairs in PAIRS.values() for pair in pairs.values()):
    for _path in (_pair.dry, _pair.wet):
        if not _path.is_file():
            raise WorkflowError(f"pair {_pair.capture}: {_path} does not exist. Correct the list of pairs")
if CONFIG.excitations:
    as_workflow_error(source_files, CONFIG.corpus)
    if CONFIG.corpus.exclude:
        as_workflow_error(read_exclusions, CONFIG.corpus.exclude)


def reels(device):
    """All reels of a device, the probe reel included."""
    excitation = CONFIG.devices[device].excitation
    return [*CONFIG.reels(excitation), *probes_of(excitation)]


def takes_of_others(device):
    """The takes of all devices whose pattern of file names differs from that of a device."""
    pattern = CONFIG.devices[device].takes
    others = {name: one.takes for name, one in CONFIG.devices.items() if one.takes and one.takes != pattern}
    return {take_path(takes, reel) for name, takes in others.items() for reel in reels(name)}


# The take of each recorded reel, and the reels without one.
TAKES, MISSING = (
    {
        name: as_workflow_error(function, name, device, reels(name), takes_of_others(name))
        for name, device in CONFIG.devices.items()
        if device.takes
    }
    for function in (existing_takes, missing_takes)
)


def recorded(device, reels):
    """The reels that have a recorded or simulated take."""
    missing = {reel for reel, _ in MISSING.get(device, [])}
    return [reel for reel in reels if reel not in missing]


def captures(device):
    """The names of a device's captures: its pairs, or its recorded reels."""
    if device in PAIRS:
        return list(PAIRS[device])
    return recorded(device, CONFIG.reels(CONFIG.devices[device].excitation))


def probes(device):
    """The capture of a device's probe reel in a list; empty if it was not recorded."""
    return recorded(device, probes_of(CONFIG.devices[device].excitation))


# A device with missing takes waits, unless the user allows missing takes.
WAITING = [name for name, missing in MISSING.items() if missing and not (CONFIG.allow_missing_takes and captures(name))]
READY = [name for name in CONFIG.devices if name not in WAITING]
SEARCHES = [name for name, search in CONFIG.search.items() if search.device in READY]
READY_TWINS = [
    twin for twin in TWINS if twin.device in READY and (twin.model not in CONFIG.search or twin.model in SEARCHES)
]

# A recorded excitation is a source: see twinlib/excitation/recorded.py.
RECORDED = RecordedExcitations(
    RESULTS,
    CONFIG.excitations,
    {
        name: [device.takes for device in CONFIG.devices.values() if device.takes and device.excitation == name]
        for name in CONFIG.excitations
    },
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
    """Print the notes of the last index, and the files passed over; the rule index_corpus prints those of a new index."""
    if not CONFIG.excitations:
        return
    index = RESULTS / "corpus" / "index.json"
    content = as_workflow_error(read_json, index, INDEX) if index.is_file() else {}
    content["passed_over"] = count_passed_over(CONFIG.corpus.root)
    for line in describe_index(content):
        print(f"corpus: {line}", file=sys.stderr)
    for name, families in DIVIDED.items():
        for family in families:
            print(f"excitation {name}: {family.sentence}", file=sys.stderr)


def describe_missing():
    """The reels to record, a text for each device that waits."""
    lines = []
    for name in WAITING:
        device = CONFIG.devices[name]
        folder = RESULTS / "excitations" / device.excitation
        lines.append(describe_missing_takes(name, device, reels(name), folder, takes_of_others(name)))
    return lines


def report_missing_takes():
    """List the reels to record. Missing takes are an error only with `strict_takes`."""
    lines = describe_missing()
    if lines and CONFIG.strict_takes:
        raise WorkflowError("\n".join(lines))
    print(*lines, sep="\n", end="\n" if lines else "", file=sys.stderr)
