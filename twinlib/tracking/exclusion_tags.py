"""Withdrawn tracks as searchable tags of MLflow runs, and searches for the runs of a dataset or a track."""

import json
import posixpath
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twinlib.files import sha256_bytes
from twinlib.tracking.store import open_client, store_exists
from twinlib.tracking.tracks import tracks_from_tags

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FLAG = "withdrawn"
"""The tag that is `true` while a track of the run's dataset is withdrawn: search for `tags.withdrawn = 'true'`."""

LIST = "withdrawn.tracks"
"""The tag with the withdrawn tracks as a JSON list."""

_PREFIX = "withdrawn."
_MAX_KEY = 250
_MAX_VALUE = 8000
_FORBIDDEN = re.compile(r"[^\w.\- /]")
_ESCAPED = re.compile(r":([0-9a-f]+):")


def withdrawal_key(track: str) -> str:
    """Return the tag name for a withdrawn track: `withdrawn.` and the track. Its value is the reason.

    Characters that MLflow rejects are written as `:hex:` code points, and slashes too if the name is not a valid path.
    A digest replaces the end of a name that is too long.
    """
    key = _PREFIX + _FORBIDDEN.sub(_escape, track)
    if key == LIST or posixpath.normpath(key) != key:
        key = _PREFIX + re.sub("[/.]|^t", _escape, key.removeprefix(_PREFIX))
    if len(key) > _MAX_KEY:
        key = f"{key[: _MAX_KEY - 17]}:{sha256_bytes(track.encode())[:16]}"
    return key


def withdrawn_tracks(tags: Iterable[str]) -> list[str]:
    """Return the withdrawn tracks in the tags of a run, sorted. Truncated names stay truncated."""
    keys = [tag.removeprefix(_PREFIX) for tag in tags if tag.startswith(_PREFIX) and tag != LIST]
    return sorted(_ESCAPED.sub(lambda match: chr(int(match[1], 16)), key) for key in keys)


def mark_withdrawn(uri: str, run_ids: Iterable[str], track: str, reason: str, date: str) -> list[str]:
    """Tag runs with a withdrawn track; return the ids that the store holds. Idempotent.

    Warns, and tags no run, if the store is missing or fails.
    """
    key, value = withdrawal_key(track), f"{reason} ({date})"[:_MAX_VALUE]

    def tag(client: "MlflowClient", run_id: str) -> None:
        client.set_tag(run_id, key, value)

    return _retag(uri, run_ids, tag)


def unmark_withdrawn(uri: str, run_ids: Iterable[str], track: str) -> list[str]:
    """Remove the tags of a track that is no longer withdrawn; return and warn as `mark_withdrawn`."""
    key = withdrawal_key(track)

    def untag(client: "MlflowClient", run_id: str) -> None:
        if key in client.get_run(run_id).data.tags:
            client.delete_tag(run_id, key)

    return _retag(uri, run_ids, untag)


def find_withdrawn_runs(uri: str, track: str) -> list[str]:
    """Return the runs with the tag of a withdrawn track, sorted. Without a store, warn and return an empty list."""
    condition = f"tags.`{withdrawal_key(track)}` LIKE '%'"
    return _query(
        uri,
        f"the runs of {track} are unknown",
        lambda client: sorted(run.info.run_id for run in _runs(client, condition)),
    )


def find_runs_by_dataset(uri: str, digests: Iterable[str]) -> list[str]:
    """Return the runs, including earlier runs, of twins trained on datasets with these digests (64 digits); sorted.

    Includes twins with a warm start from such a twin. Without a store, warns and returns an empty list.
    """

    def search(client: "MlflowClient") -> list[str]:
        conditions = [f"tags.`dataset.sha256` = '{digest}'" for digest in digests]
        return _with_descendants(client, [run for condition in conditions for run in _runs(client, condition)])

    return _query(uri, "the runs of the datasets are unknown", search)


def find_runs_by_track(uri: str, track: str, experiments: Collection[str]) -> list[str]:
    """Return the runs in these experiments with a track in the tags of their dataset, current or earlier; sorted.

    Includes twins of any experiment with a warm start from such a twin. Without a store, warns and returns an empty
    list. Also warns about the number of runs without a track list.
    """

    def search(client: "MlflowClient") -> list[str]:
        matches, unlisted = [], 0
        for run in _runs(client, "tags.`dataset.sha256` LIKE '%'", experiments):
            tracks = tracks_from_tags(run.data.tags)
            unlisted += tracks is None
            matches += [run] if tracks and track in tracks else []
        if unlisted:
            warnings.warn(
                f"{unlisted} runs in {uri} were logged by an earlier version and have no track list: they may include "
                f"{track}",
                stacklevel=5,
            )
        return _with_descendants(client, matches)

    return _query(uri, f"the runs of {track} are unknown", search)


def _with_descendants(client: "MlflowClient", runs: "Iterable[Run]") -> list[str]:
    """Return the ids of runs and of all warm starts from their twins, direct and indirect; sorted."""
    found: set[str] = set()
    todo = list(runs)
    while todo:
        run = todo.pop()
        if run.info.run_id not in found:
            found.add(run.info.run_id)
            if twin := run.data.tags.get("twin.sha256"):
                todo += _runs(client, f"tags.`start.sha256` = '{twin}'")
    return sorted(found)


def _retag(uri: str, run_ids: Iterable[str], change: "Callable[[MlflowClient, str], None]") -> list[str]:
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
                client.set_tag(run_id, LIST, _json_list(tracks))
            else:
                for name in {FLAG, LIST} & set(tags):
                    client.delete_tag(run_id, name)
            done.append(run_id)
        return done

    return _query(uri, "no run is tagged", retag)


def _json_list(tracks: Sequence[str]) -> str:
    """Return the tracks as JSON; a list too long for a tag is cut and ends with the number of omitted tracks."""
    shown = len(tracks)
    while True:
        more = [] if shown == len(tracks) else [f"and {len(tracks) - shown} more"]
        text = json.dumps([*tracks[:shown], *more], ensure_ascii=False)
        if len(text) <= _MAX_VALUE:
            return text
        shown -= 1


def _query(uri: str, consequence: str, query: "Callable[[MlflowClient], list[str]]") -> list[str]:
    """Return the answer of the store; if it is missing or fails, warn and return an empty list."""
    if not store_exists(uri):
        warnings.warn(
            f"The MLflow store {uri} does not exist, so {consequence}: rebuild it with `twin audit mlflow`",
            stacklevel=4,
        )
        return []
    try:
        return query(open_client(uri))
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(
            f"The MLflow store {uri} fails ({reason}), so {consequence}: check it and try again", stacklevel=4
        )
        return []


def _runs(client: "MlflowClient", condition: str, experiments: Collection[str] | None = None) -> "Iterator[Run]":
    """Yield the runs that match a condition, in the experiments of these names or in all."""
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
