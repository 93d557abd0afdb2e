"""The layout `folder`: any tree of sound files, one folder per artist."""

from pathlib import Path

from twinlib.corpus.sources import Problem, Scan, Source, display_path, file_problem, is_audio, walk_files


def list_folder(root: Path) -> list[Path]:
    """Return all readable sound files below the root, sorted."""
    return sorted(path for path in walk_files(root) if is_audio(path) and not file_problem(path, root))


def scan_folder(root: Path) -> Scan:
    """Return each sound file below the root as the mix of a separate track.

    The track id is the relative path without suffix. The artist is the first folder, or the file name for files at the
    root; group files of one artist in a folder to keep them in one split.
    """
    found = Scan()
    for path in sorted(filter(is_audio, walk_files(root))):
        if reason := file_problem(path, root):
            found.problems.append(Problem(display_path(path, root), reason))
            continue
        relative = path.relative_to(root)
        artist = relative.parts[0] if len(relative.parts) > 1 else path.stem
        track_id = relative.with_suffix("").as_posix()
        found.sources.append(Source(track_id, artist, path.stem, "", None, "mix", "", path))
    return found
