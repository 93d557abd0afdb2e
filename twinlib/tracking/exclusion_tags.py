"""What MLflow is told of withdrawn tracks, and asked about datasets: tags of runs, by which they can be searched."""

import json
import posixpath
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twinlib.files import sha256_bytes
from twinlib.tracking.runs import client_of, exists
from twinlib.tracking.tracks import tracks_of_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FLAG = "withdrawn"
"""The tag that is `true` while a track of the run's dataset is withdrawn: `tags.withdrawn = 'true'` finds the runs."""

LIST = "withdrawn.tracks"
"""The tag that holds these tracks as a JSON list."""

_PREFIX = "withdrawn."
_LONGEST_KEY = 250
_LONGEST_VALUE = 8000
_FORBIDDEN = re.compile(r"[^\w.\- /]")
_ESCAPED = re.compile(r":([0-9a-f]+):")


def withdrawal_key(track: str) -> str:
    """The tag that says why a track was withdrawn: `withdrawn.` and the track.

    Characters that MLflow does not take are written as their number in hexadecimal digits between colons, and slashes
    too where the name would be no path; of a name that is too long the end is a digest.
    """
    key = _PREFIX + _FORBIDDEN.sub(_escape, track)
    if key == LIST or posixpath.normpath(key) != key:
        key = _PREFIX + re.sub("[/.]|^t", _escape, key.removeprefix(_PREFIX))
    if len(key) > _LONGEST_KEY:
        key = f"{key[: _LONGEST_KEY - 17]}:{sha256_bytes(track.encode())[:16]}"
    return key


def withdrawn_tracks(tags: Iterable[str]) -> list[str]:
    """The tracks that a run's tags name, sorted; one that is too long for a tag as that tag has it."""
    keys = [tag.removeprefix(_PREFIX) for tag in tags if tag.startswith(_PREFIX) and tag != LIST]
    return sorted(_ESCAPED.sub(lambda match: chr(int(match[1], 16)), key) for key in keys)


def mark_withdrawn(uri: str, run_ids: Iterable[str], track: str, reason: str, date: str) -> list[str]:
    """Tag runs with a withdrawn track, and return those that the store holds; repeated, it changes nothing.

    Where there is no store, or it fails, none are tagged, and a warning says so.
    """
    key, value = withdrawal_key(track), f"{reason} ({date})"[:_LONGEST_VALUE]

    def tag(client: "MlflowClient", run_id: str) -> None:
        client.set_tag(run_id, key, value)

    return _retagged(uri, run_ids, tag)


def unmark_withdrawn(uri: str, run_ids: Iterable[str], track: str) -> list[str]:
    """Take the tags of a track back that is withdrawn no more; else as `mark_withdrawn`."""
    key = withdrawal_key(track)

    def untag(client: "MlflowClient", run_id: str) -> None:
        if key in client.get_run(run_id).data.tags:
            client.delete_tag(run_id, key)

    return _retagged(uri, run_ids, untag)


def runs_withdrawn(uri: str, track: str) -> list[str]:
    """The runs that are tagged with a withdrawn track, sorted; without a store none, and a warning says so."""
    condition = f"tags.`{withdrawal_key(track)}` LIKE '%'"
    return _asked(
        uri,
        f"the runs of {track} are not known",
        lambda client: sorted(run.info.run_id for run in _runs(client, condition)),
    )


def runs_of_datasets(uri: str, digests: Iterable[str]) -> list[str]:
    """The runs of all twins, old ones too, that have learned from datasets with these digests (64 digits); sorted.

    Those count that were trained on them, and those that started from such a twin. Where there is no store, or it
    fails, there are none, and a warning says so.
    """

    def search(client: "MlflowClient") -> list[str]:
        conditions = [f"tags.`dataset.sha256` = '{digest}'" for digest in digests]
        return _and_what_started(client, [run for condition in conditions for run in _runs(client, condition)])

    return _asked(uri, "the runs of datasets are not known", search)


def runs_of_track(uri: str, track: str, experiments: Collection[str]) -> list[str]:
    """The runs in these experiments whose dataset, be it an earlier one, held a track, by their tags; sorted.

    And those of all experiments that started from such a twin. Where there is no store, or it fails, there are none,
    and a warning says so; another says how many runs were logged without the tracks of their dataset.
    """

    def search(client: "MlflowClient") -> list[str]:
        held, untold = [], 0
        for run in _runs(client, "tags.`dataset.sha256` LIKE '%'", experiments):
            tracks = tracks_of_tags(run.data.tags)
            untold += tracks is None
            held += [run] if tracks and track in tracks else []
        if untold:
            told = f"{untold} runs of {uri} do not name the tracks of their dataset, so nobody can tell whether "
            warnings.warn(f"{told}{track} was among them: they were logged by an earlier version", stacklevel=5)
        return _and_what_started(client, held)

    return _asked(uri, f"the runs of {track} are not known", search)


def _and_what_started(client: "MlflowClient", runs: "Iterable[Run]") -> list[str]:
    """The ids of runs, and of those that started from their twins, and so on; sorted."""
    found: set[str] = set()
    todo = list(runs)
    while todo:
        run = todo.pop()
        if run.info.run_id not in found:
            found.add(run.info.run_id)
            if twin := run.data.tags.get("twin.sha256"):
                todo += _runs(client, f"tags.`start.sha256` = '{twin}'")
    return sorted(found)


def _retagged(uri: str, run_ids: Iterable[str], change: "Callable[[MlflowClient, str], None]") -> list[str]:
    from mlflow.exceptions import MlflowException

    def retag(client: "MlflowClient") -> list[str]:
        done = []
        for run_id in sorted(set(run_ids)):
            try:
                client.get_run(run_id)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    continue
                raise
            change(client, run_id)
            tags = client.get_run(run_id).data.tags
            tracks = withdrawn_tracks(tags)
            if tracks:
                client.set_tag(run_id, FLAG, "true")
                client.set_tag(run_id, LIST, _listed(tracks))
            else:
                for name in {FLAG, LIST} & set(tags):
                    client.delete_tag(run_id, name)
            done.append(run_id)
        return done

    return _asked(uri, "no run is tagged", retag)


def _listed(tracks: Sequence[str]) -> str:
    """The tracks as JSON; of more than a tag can hold the first, and how many follow."""
    shown = len(tracks)
    while True:
        more = [] if shown == len(tracks) else [f"and {len(tracks) - shown} more"]
        text = json.dumps([*tracks[:shown], *more], ensure_ascii=False)
        if len(text) <= _LONGEST_VALUE:
            return text
        shown -= 1


def _asked(uri: str, loss: str, ask: "Callable[[MlflowClient], list[str]]") -> list[str]:
    """What a store answers; nothing, with a warning, if it cannot."""
    if not exists(uri):
        warnings.warn(f"There is no MLflow store {uri}, so {loss}: `twin audit mlflow` makes it anew", stacklevel=4)
        return []
    try:
        return ask(client_of(uri))
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(f"The MLflow store {uri} fails ({reason}), so {loss}: check it and try again", stacklevel=4)
        return []


def _runs(client: "MlflowClient", condition: str, experiments: Collection[str] | None = None) -> "Iterator[Run]":
    """The runs that meet a condition, however many there are, of the experiments of these names or of all."""
    ids = [
        experiment.experiment_id
        for experiment in _pages(client.search_experiments)
        if experiments is None or experiment.name in experiments
    ]
    if ids:
        yield from _pages(lambda page_token: client.search_runs(ids, condition, page_token=page_token))


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _escape(found: re.Match[str]) -> str:
    return f":{ord(found[0]):x}:"
