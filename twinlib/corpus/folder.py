"""The layout `folder`: any tree of sound files, one folder per artist."""

from pathlib import Path

from twinlib.corpus.sources import (
    BROKEN_LINK,
    Problem,
    Scan,
    Source,
    display_path,
    is_audio,
    is_broken_link,
    path_problem,
    walk_files,
)


def list_folder(root: Path) -> list[Path]:
    """Return all sound files below the root, sorted."""
    return sorted(path for path in walk_files(root) if is_audio(path) and not is_broken_link(path))


def scan_folder(root: Path) -> Scan:
    """Return each sound file below the root as the mix of a separate track.

    The track id is the relative path without suffix. The artist is the first folder, or the file name for files at the
    root; group files of one artist in a folder to keep them in one split.
    """
    found = Scan()
    broken = [path for path in walk_files(root) if is_audio(path) and is_broken_link(path)]
    found.problems.extend(Problem(display_path(path, root), BROKEN_LINK) for path in broken)
    for path in list_folder(root):
        reason = path_problem(path, root)
        if reason:
            found.problems.append(Problem(display_path(path, root), reason))
            continue
        relative = path.relative_to(root)
        artist = relative.parts[0] if len(relative.parts) > 1 else path.stem
        track_id = relative.with_suffix("").as_posix()
        found.sources.append(Source(track_id, artist, path.stem, "", None, "mix", "", path))
    return found
