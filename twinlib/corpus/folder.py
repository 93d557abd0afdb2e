"""The layout `folder`: any tree of sound files, one folder an artist."""

from pathlib import Path

from twinlib.corpus.sources import Problem, Scan, Source, display_path, is_audio, path_problem, walk_files


def list_folder(root: Path) -> list[Path]:
    """Every sound file below the root, sorted."""
    return sorted(path for path in walk_files(root) if is_audio(path))


def scan_folder(root: Path) -> Scan:
    """Every sound file below the root as the mix of a track of its own.

    The track's id is its relative path without suffix. The artist is the first folder, or the file's own name where
    it lies at the root: two files that may be of one artist are better separated than one artist in two splits, and a
    user who knows better makes a folder.
    """
    found = Scan()
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
