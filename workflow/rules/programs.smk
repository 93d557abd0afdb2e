# How the rules run their programs, and the digest of the code of each.
import shlex

from snakemake.settings.types import DeploymentMethod

from twinlib.provenance import stage_code

# `--sdm`: the programs use the Python of the container or of the conda environment, with the library of this repository.
DEPLOYED = workflow.deployment_settings.deployment_method & {DeploymentMethod.APPTAINER, DeploymentMethod.CONDA}
IMAGE = REPOSITORY / "build" / "twinlib.sif"
ENVIRONMENT = REPOSITORY / "workflow" / "envs" / "twinlib.yaml"
if DeploymentMethod.APPTAINER in DEPLOYED and not IMAGE.is_file():
    raise WorkflowError(f"--sdm apptainer needs {IMAGE}: build it as described in Containerfile")
PYTHON = "python" if DEPLOYED else shlex.quote(sys.executable)
LIBRARY = f"export PYTHONPATH={shlex.quote(str(REPOSITORY))}; " if DEPLOYED else ""

# Every rule runs its program as `stage NAME`, with this Python and one thread (several threads are slow on a busy core).
# The compiled kernels of networks are used unless the configuration disables them.
# After SIGTERM or SIGHUP the shell waits for its program, which saves its state, and `tee` for the last line of the log.
# MLflow sends no telemetry. Arrow's own allocator keeps freed memory, a fifth of that of the manifest of 100,000 slices.
PRELUDE = (
    "set -euo pipefail; trap : HUP TERM; tee() { (trap '' HUP TERM PIPE; exec tee \"$@\"); }; "
    "export OMP_NUM_THREADS=1 ARROW_DEFAULT_MEMORY_POOL=system MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true "
    f"{'' if CONFIG.kernels else 'TWINLIB_KERNELS=${TWINLIB_KERNELS:-off} '}"
    f"PYTHONWARNINGS=ignore::FutureWarning; {LIBRARY}stage() {{ {PYTHON} "
    f'{shlex.quote(str(SCRIPTS))}/"$1".py "${{@:2}}"; }}; '
)
# Snakemake formats the prelude.
shell.prefix(PRELUDE.replace("{", "{{").replace("}", "}}"))


def code(script):
    """The digest of a script and of the library code that it uses. If it changes, the outputs are made again."""
    return stage_code(SCRIPTS / script, REPOSITORY).digest
