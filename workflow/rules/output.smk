# Brief output of a run: the lines of the programs and the progress. The log file that Snakemake names at the end also
# has the rule, the files and the reason of each job; a dry run and `--verbose` show these on the terminal.
from snakemake_interface_logger_plugins.common import LogEvent

HIDDEN_EVENTS = {
    LogEvent.RUN_INFO,
    LogEvent.JOB_INFO,
    LogEvent.GROUP_INFO,
    LogEvent.JOB_FINISHED,
    LogEvent.RESOURCES_INFO,
}
HIDDEN_MESSAGES = re.compile(
    r"Select jobs to execute|Execute \d+ jobs|Using shell|Building DAG|Singularity containers: ignored|"
    r"Removing output files of failed job|Using workflow specific profile|Assuming unrestricted shared filesystem|"
    r"WorkflowError:\nAt least one job did not complete successfully"
)
# Snakemake says so several times a second until the running jobs have ended.
STOPPING = re.compile(r"Will exit after finishing currently running jobs")
# The programs of local jobs have printed their errors, which `find_errors` repeats with their log files.
if workflow.local_exec:
    HIDDEN_EVENTS |= {LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR}


def is_brief(record):
    """Whether a log message belongs on the terminal; the progress does once every fifth of the steps."""
    event = getattr(record, "event", None)
    if event == LogEvent.PROGRESS:
        return 5 * record.done // record.total > 5 * (record.done - 1) // record.total
    if STOPPING.match(str(record.msg)):
        global IS_STOPPING
        is_repeated, IS_STOPPING = IS_STOPPING, True
        return not is_repeated
    return event not in HIDDEN_EVENTS and not HIDDEN_MESSAGES.match(str(record.msg))


IS_STOPPING = False
SUMMARY = RESULTS / "summary.txt"
# Whether this run makes or checks the table; else it may be out of date.
SUMMARY_IS_CURRENT = False


def report_results():
    """Print the table of all twins, and what to open."""
    if not (SUMMARY_IS_CURRENT and SUMMARY.is_file()):
        return
    one = f"{RESULTS}/twins/DEVICE/MODEL"
    if len(READY_TWINS) == 1:
        one = f"{RESULTS}/twins/{READY_TWINS[0].device}/{READY_TWINS[0].model}"
    print(SUMMARY.read_text(encoding="utf-8"), file=sys.stderr)
    print(f"open: {RESULTS}/comparison.html (all twins), {one}/evaluation/index.html (one twin)", file=sys.stderr)


if not workflow.output_settings.dryrun and not workflow.output_settings.verbose:
    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler":
            handler.addFilter(is_brief)
