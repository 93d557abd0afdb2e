# Names, settings and digests that the rules share. Decisions are made in twinlib; here they only get names.
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from twinlib import config as configuration
from twinlib.capture.pairs import read_pairs
from twinlib.capture.takes import missing_takes, take_path
from twinlib.contracts import DATASET
from twinlib.corpus.exclusions import read_exclusions
from twinlib.corpus.index import source_files
from twinlib.errors import TwinError
from twinlib.evaluation.settings import PROBE_FIGURES
from twinlib.excitation.frozen import changed_settings, recorded_settings
from twinlib.excitation.withdrawn import withdrawn_tracks
from twinlib.files import read_json
from twinlib.provenance.code_digest import digest
from twinlib.provenance.record import read_record, record_path
from twinlib.provenance.settle import outdate, settle
from twinlib.training.settings import twin_file

REPOSITORY = Path(workflow.basedir).parent
SCRIPTS = REPOSITORY / "scripts"


def as_workflow_error(action, *arguments):
    """Call into the library; its errors are sentences and end the run without a traceback."""
    try:
        return action(*arguments)
    except TwinError as error:
        raise WorkflowError(str(error)) from None


SOURCE = ", ".join(str(path) for path in workflow.overwrite_configfiles) or "config/config.yaml"
CONFIG = as_workflow_error(configuration.parse_config, config, SOURCE)
RESULTS = Path(CONFIG.results)
TWINS = CONFIG.twins()
TRAINING_GPUS = int(
    CONFIG.training.device == "cuda" or (CONFIG.training.device == "auto" and bool(shutil.which("nvidia-smi")))
)
TRACKING = CONFIG.tracking.model_dump_json()
STORE = "<results>/mlflow/store.json"

# Every rule calls its program as `stage NAME`, by this Python; one thread a worker (several collapse on a busy core);
# nothing phones home.
PRELUDE = (
    "set -euo pipefail; export OMP_NUM_THREADS=1 MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true "
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
    """The digest of a script and all of the library that it imports: an edit there makes its outputs again."""
    return digest(SCRIPTS / script, REPOSITORY)


def settings(section):
    """A section of the configuration as a parameter."""
    return section.model_dump_json()


def planned(excitation):
    """What decides about the reels of an excitation, as a parameter: asking for a probe reel plans nothing anew."""
    return json.dumps(excitation.planned, separators=(",", ":"))


def get_training(wildcards):
    """How a twin is trained."""
    return CONFIG.training_settings(wildcards.device, wildcards.model)


def probes_of(excitation):
    """The name of an excitation's probe reel in a list, which is empty if there is none."""
    return [name for name in [CONFIG.probe(excitation)] if name]


PAIRS = {
    name: {
        pair.capture: pair
        for pair in as_workflow_error(read_pairs, device.pairs, device.channel, device.reference_channel)
    }
    for name, device in CONFIG.devices.items()
    if device.pairs
}
for _pairs in PAIRS.values():
    for _pair in _pairs.values():
        for _path in (_pair.dry, _pair.wet):
            if not _path.is_file():
                raise WorkflowError(
                    f"the pair {_pair.capture} names {_path}, which does not exist: correct the list of pairs"
                )
if CONFIG.excitations:
    as_workflow_error(source_files, CONFIG.corpus)
    if CONFIG.corpus.exclude:
        as_workflow_error(read_exclusions, CONFIG.corpus.exclude)
MISSING = {
    name: as_workflow_error(
        missing_takes, name, device, [*CONFIG.reels(device.excitation), *probes_of(device.excitation)]
    )
    for name, device in CONFIG.devices.items()
    if device.takes
}


def captures(device):
    """The names of a device's captures: its pairs, or the reels that have been (or are) recorded."""
    if device in PAIRS:
        return list(PAIRS[device])
    missing = {reel for reel, _ in MISSING.get(device, [])}
    return [reel for reel in CONFIG.reels(CONFIG.devices[device].excitation) if reel not in missing]


def probes(device):
    """The capture of a device's probe reel, as a list: empty if there is none, or it has not been recorded."""
    missing = {reel for reel, _ in MISSING.get(device, [])}
    return [probe for probe in probes_of(CONFIG.devices[device].excitation) if probe not in missing]


# A device waits while takes are missing, unless the user goes on without them.
WAITING = [name for name, missing in MISSING.items() if missing and not (CONFIG.allow_missing_takes and captures(name))]
READY = [name for name in CONFIG.devices if name not in WAITING]
SEARCHES = [name for name, search in CONFIG.search.items() if search.device in READY]
READY_TWINS = [
    twin for twin in TWINS if twin.device in READY and (twin.model not in CONFIG.search or twin.model in SEARCHES)
]

# An excitation that somebody has recorded is never made anew: its settings may not change, and what its reels were
# made with (settings, code, exclusions) is read from their records instead of from today's configuration.
FROZEN = set()
for _name in CONFIG.excitations:
    _patterns = [device.takes for device in CONFIG.devices.values() if device.takes and device.excitation == _name]
    _recorded = recorded_settings(RESULTS, _name, _patterns)
    if _recorded is None:
        continue
    FROZEN.add(_name)
    _changed = changed_settings(_recorded, CONFIG.excitations[_name])
    if _changed:
        raise WorkflowError(
            f"{SOURCE}: excitations.{_name} has been recorded, so it cannot change any more ({'; '.join(_changed)}). "
            f"Put the old values back, or give the new ones a name of their own, such as {_name}2: "
            f"the takes of {_name} stay useful either way."
        )


# Asked once: a table of a hundred thousand slices is read for it.
WITHDRAWN = {name: as_workflow_error(withdrawn_tracks, RESULTS, name, CONFIG.corpus) for name in sorted(FROZEN)}


def plan_outputs(name):
    """What plan leaves of an excitation."""
    folder = RESULTS / "excitations" / name
    return [folder / "excitation.json", folder / "cues.parquet", record_path(folder / "cues.parquet")]


def excitation_outputs(name):
    """What plan, render and probe leave of an excitation."""
    folder = RESULTS / "excitations" / name
    reels = [folder / "reels" / f"{reel}.wav" for reel in (*CONFIG.reels(name), *probes_of(name))]
    told = [folder / "probe.json" for _ in probes_of(name)]
    return [*plan_outputs(name), *told, *reels, *map(record_path, reels)]


def live(outputs):
    """A pattern of the excitations whose files are made. While all files of a recorded one are there, nothing makes
    them: they are sources, like the takes.
    """
    names = [name for name in CONFIG.excitations if name not in FROZEN or not all(map(Path.is_file, outputs(name)))]
    return "|".join(map(re.escape, names)) or "(?!)"


LIVE_PLAN = live(plan_outputs)
LIVE_EXCITATION = live(excitation_outputs)


def frozen_or(excitation, output, name, live):
    """A parameter as it was when a recorded reel was made; else the live value.

    It is called with wildcards alone, for parameters that depend on outputs do not count for reruns.
    """
    record = record_path(RESULTS / "excitations" / excitation / output)
    if excitation in FROZEN and record.is_file():
        content = as_workflow_error(read_record, record)
        return content["code"] if name == "code" else content["params"][name]
    return live


def waiting_for_takes():
    """What a person has to record now, or nothing."""
    lines = []
    for device in WAITING:
        guide = RESULTS / "excitations" / CONFIG.devices[device].excitation / "recording.md"
        lines.append(f"{device}: {len(MISSING[device])} reel(s) are still to be recorded; how is told in {guide}:")
        lines += [
            f"  play {guide.parent / 'reels' / (reel + '.wav')} through the device, save the recording as {path}"
            for reel, path in MISSING[device]
        ]
        lines.append("  then run the same command again (or set allow_missing_takes: true to go on without them)")
    return "\n".join(lines)


def refused_captures(device):
    """The captures of a device that its dataset was made without, for they were refused."""
    dataset = RESULTS / "devices" / device / "dataset.json"
    captures = as_workflow_error(read_json, dataset, DATASET)["captures"] if dataset.is_file() else {}
    return [
        name
        for name, capture in captures.items()
        if "refused" in (capture["take_verdict"], capture["alignment_verdict"])
    ]


def closing_words():
    """The table of all twins, where it has been made."""
    summary = RESULTS / "summary.txt"
    return summary.read_text(encoding="utf-8") if TWINS and summary.is_file() else ""


if workflow.is_main_process:
    settle(RESULTS)
    # What went into a dataset although it was refused is judged anew when that is allowed no more.
    for _name in [] if CONFIG.allow_missing_takes else CONFIG.devices:
        if refused_captures(_name):
            outdate(RESULTS / "devices" / _name / "dataset.json")
