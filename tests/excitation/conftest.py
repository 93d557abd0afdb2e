from pathlib import Path

import pytest

from tests.excitation.factories import add, noise


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve artists with a stereo track each."""
    root = tmp_path_factory.mktemp("corpus")
    for number in range(12):
        add(root, f"artist {number:02d}/song.wav", noise(1.5, 2, seed=number))
    return root
