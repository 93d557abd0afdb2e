"""The layout `folder`: any tree of sound files, one folder an artist."""

from pathlib import Path

from twinlib.corpus.sources import Found, Problem, Source, files_below, is_audio, refusal, shown


def folder_files(root: Path) -> list[Path]:
    """Every sound file below the root, sorted."""
    return sorted(path for path in files_below(root) if is_audio(path))


def folder_sources(root: Path) -> Found:
    """Every sound file below the root as the mix of a track of its own.

    The track's id is its relative path without suffix. The artist is the first folder, or the file's own name where
    it lies at the root: two files that may be of one artist are better separated than one artist in two splits, and a
    user who knows better makes a folder.
    """
    found = Found()
    for path in folder_files(root):
        reason = refusal(path, root)
        if reason:
            found.problems.append(Problem(shown(path, root), reason))
            continue
        relative = path.relative_to(root)
        artist = relative.parts[0] if len(relative.parts) > 1 else path.stem
        track_id = relative.with_suffix("").as_posix()
        found.sources.append(Source(track_id, artist, path.stem, "", None, "mix", "", path))
    return found
