# Repeat the error message of each failed program at the end of a run, and list the missing takes after a dry run.
from snakemake.logging import logger


def is_no_repetition(record):
    """Whether a log message is not just the exception of a program that has already printed its error."""
    return not str(record.msg).startswith("RuleException:\nCalledProcessError")


def add_missing_takes(record):
    """Append the missing takes to the last message of a dry run."""
    if str(record.msg).startswith("This was a dry-run"):
        record.msg = "\n".join((record.msg, *describe_missing()))
    return True


def find_errors(logs):
    """The names of failed jobs and their errors, from the log files of a run."""
    text = "\n".join(Path(path).read_text(encoding="utf-8", errors="replace") for path in logs)
    for name, path in re.findall(r"^Error in rule\s(\w+):$.*?^ +log: (\S+)", text, re.MULTILINE | re.DOTALL):
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines() if Path(path).is_file() else []
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        yield name, errors[-1] if errors else f"see {path}"


logger.addFilter(is_no_repetition)
logger.addFilter(add_missing_takes)
