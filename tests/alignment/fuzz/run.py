"""Run the seeds, collect their outcomes, and tabulate them."""

import contextlib
import io
import json
import re
import signal
import sys
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt

from twinlib import audio, cli
from twinlib.alignment.pipeline import Alignment, align
from twinlib.alignment.warp import WarpedReader
from twinlib.capture.ingest import ingest_take
from twinlib.errors import TwinError

from .faults import KINDS, Mutilation, mutilate
from .oracle import wrongs

Mask = npt.NDArray[np.bool_]
Random = np.random.Generator


@dataclass(frozen=True)
class Outcome:
    """The verdict on a damaged take (`ok`, `suspect`, `refused` or `error`), failures, and warnings.

    `left_in` lists errors of alignments with the verdict `suspect`. They are not failures, because the user was warned.
    """

    seed: int
    kind: str
    kinds: tuple[str, ...]
    notes: tuple[str, ...]
    base: int
    said: str
    reasons: tuple[str, ...]
    failures: tuple[str, ...]
    left_in: tuple[str, ...]
    warned: tuple[str, ...]
    seconds: float


def attempt(seed: int, folder: Path) -> Outcome:
    """Damage a take, align and ingest it, and for some seeds run the `twin` command too; then remove it."""
    mutilation = mutilate(seed, folder)
    begun = time.process_time()
    failures: list[str] = []
    left_in: list[str] = []
    said = "error"
    reasons: tuple[str, ...] = ()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _tried(
            "align",
            failures,
            lambda: align(mutilation.reel, mutilation.take, channel=mutilation.channel, clicks=mutilation.base.clicks),
        )
        if isinstance(found, Alignment):
            said, reasons = found.verdict, found.reasons
            failures += _form(found.verdict, found.reasons)
            _tried("to_dict", failures, lambda: json.dumps(found.to_dict(), allow_nan=False))
            if found.verdict != "refused":
                failures += _warps(mutilation, found)
        elif isinstance(found, TwinError):
            reasons = (str(found),)
        take = _tried(
            "ingest",
            failures,
            lambda: ingest_take(mutilation.take, reel=mutilation.reel, channel=mutilation.channel + 1),
        )
        if take is not None and not isinstance(take, TwinError):
            failures += _form(take.verdict, take.reasons)
            _tried("to_dict", failures, lambda: json.dumps(take.to_dict(), allow_nan=False))
        if seed % 10 == 0:
            words = ["check", mutilation.take, "--reel", mutilation.reel, "--channel", mutilation.channel + 1]
            failures += _command(words + ["--json"] * (seed % 20 == 0))
        elif seed % 10 == 5:
            out = folder / f"aligned{seed}.wav"
            words = ["align", mutilation.reel, mutilation.take, "--channel", mutilation.channel + 1, "--out", out]
            failures += _command([*words, "--json"])
            out.unlink(missing_ok=True)
    seconds = time.process_time() - begun
    if isinstance(found, Alignment) and said != "refused":
        wrong = wrongs(mutilation, found)
        if said == "ok":
            failures += wrong
        else:
            left_in += wrong
    mutilation.take.unlink(missing_ok=True)
    warned = {
        f"{one.message} ({Path(one.filename).name}:{one.lineno})"
        for one in caught
        if issubclass(one.category, RuntimeWarning)
    }
    return Outcome(
        seed,
        mutilation.kind,
        mutilation.kinds,
        mutilation.notes,
        mutilation.base.number,
        said,
        tuple(reasons),
        tuple(failures),
        tuple(left_in),
        tuple(sorted(warned)),
        seconds,
    )


def _tried(what: str, failures: list[str], action: Callable[[], Any]) -> Any:
    """Return the result of an action or its `TwinError`; anything else is a failure."""
    try:
        return action()
    except TwinError as error:
        if not _is_sentence(str(error)):
            failures.append(f"{what} ends with an error that is not a sentence: {error}")
        return error
    except Exception:
        failures.append(f"{what} broke: {traceback.format_exc(limit=-4)}")
        return None


def _is_sentence(text: str) -> bool:
    """Return whether a text has several words and no program internals."""
    odd = re.search(r"Traceback|\bnan\b|\binf\b|<[a-z_.]+ (object|at)|None\b|array\(", text)
    return len(text.split()) >= 5 and odd is None and "\n" not in text


def _form(verdict: str, reasons: Iterable[str]) -> list[str]:
    reasons = list(reasons)
    out = [f"a reason that is not a sentence: {reason}" for reason in reasons if not _is_sentence(reason)]
    if verdict not in ("ok", "suspect", "refused") or (verdict == "ok") != (not reasons):
        out.append(f"the verdict {verdict} with the reasons {reasons}")
    return out


def _warps(mutilation: Mutilation, found: Alignment) -> list[str]:
    """Read the wet signal on the dry clock, like the shards."""
    failures: list[str] = []

    def read() -> None:
        with WarpedReader(mutilation.take, found, mutilation.channel) as warped_wet:
            start, stop = warped_wet.valid_range()
            for first in range(start, stop, audio.BLOCK):
                warped_wet.read(first, min(stop, first + audio.BLOCK))

    _tried("the warp", failures, read)
    return failures


def _command(words: Sequence[object]) -> list[str]:
    """Run the `twin` command in this process; it must exit with 0, or with 1 and a sentence."""
    out, err = io.StringIO(), io.StringIO()
    handler = signal.getsignal(signal.SIGTERM)
    failures: list[str] = []
    code: Any = None

    def run() -> None:
        nonlocal code
        with (
            mock.patch.object(sys, "argv", ["twin", *map(str, words)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                cli.main()
            except SystemExit as ended:
                code = ended.code

    _tried(f"twin {words[0]}", failures, run)
    signal.signal(signal.SIGTERM, handler)
    last = err.getvalue().strip().splitlines()
    if not failures and code not in (0, 1):
        failures.append(f"twin {words[0]} ends with {code}")
    if code == 1 and not (last and last[-1].startswith("error: ") and _is_sentence(last[-1])):
        failures.append(f"twin {words[0]} is refused without a sentence: {last}")
    return failures


def table(outcomes: Sequence[Outcome]) -> str:
    """Return a table of counts by kind of fault."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for one in outcomes:
        for name in (one.kind, "all"):
            rows[name].update(("count", one.said))
            rows[name]["failures"] += bool(one.failures)
            rows[name]["left in"] += bool(one.left_in)
            rows[name]["warned"] += bool(one.warned)
    columns = ("count", "ok", "suspect", "refused", "error", "failures", "left in", "warned")
    lines = [f"{'kind':<26}" + "".join(f"{name:>10}" for name in columns)]
    order = [*KINDS, *sorted(name for name in rows if name not in KINDS and name != "all"), "all"]
    lines += [f"{name:<26}" + "".join(f"{rows[name][key]:>10}" for key in columns) for name in order if name in rows]
    return "\n".join(lines)


def described(one: Outcome) -> str:
    """Describe a failure."""
    what = f"seed {one.seed}: {', '.join(one.kinds)} (base {one.base}; {'; '.join(one.notes)[:300]})"
    lines = [f"{what}\n    said {one.said} {'; '.join(one.reasons)[:300]}"]
    lines += [f"    FAILED {failure}" for failure in one.failures]
    lines += [f"    warned {warned}" for warned in one.warned]
    return "\n".join(lines)
