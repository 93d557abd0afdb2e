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


def read_logs(logs):
    """The text of the log files of a run."""
    return "\n".join(Path(path).read_text(encoding="utf-8", errors="replace") for path in logs)


def find_errors(text):
    """The rule, log file, error (empty without a message) and last line of each failed job, from the log of a run."""
    found = re.findall(
        r"^Error in rule\s(\w+):$.*?^ +log: (.+?)(?:, \S+)*? \(check log", text, re.MULTILINE | re.DOTALL
    )
    for name, path in dict.fromkeys(found):
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines() if Path(path).is_file() else []
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        yield name, path, "".join(errors[-1:]), "".join(lines[-1:])


def report_errors(logs):
    """Print the errors of a run and what to do. Jobs that the user has stopped have no error."""
    text = read_logs(logs)
    is_stopped = re.search(r"Terminating processes on user request|Will exit after finishing", text)
    failed = [each for each in find_errors(text) if each[2] or not is_stopped]
    for name, path, error, last in failed:
        print(f"{name}: {error or f'no error message; the last line is: {last}'}\n  log: {path}", file=sys.stderr)
    ending = "Failed. See the error above; fix it and rerun the same command."
    print(ending if failed or not is_stopped else "Stopped. The same command goes on.", file=sys.stderr)


logger.addFilter(is_no_repetition)
logger.addFilter(add_missing_takes)
