"""Results of earlier versions are read, or refused with the way out.

Never replace these files: they are what users have.
"""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from twinlib import contracts
from twinlib.alignment import Alignment
from twinlib.errors import TwinError
from twinlib.files import CONTRACT_KEY, read_json, read_table
from twinlib.model.twin import load_twin
from twinlib.training.best_config import resolve_model

FOLDER = Path(__file__).parent / "old_results"
VERSIONS = sorted(path for path in FOLDER.iterdir() if path.is_dir())
CURRENT = {value for name, value in vars(contracts).items() if name.isupper() and isinstance(value, str)}
FILES = [path for version in VERSIONS for path in sorted(version.iterdir())]


def contract_of(path: Path) -> str:
    if path.suffix == ".parquet":
        return pq.read_schema(path).metadata[CONTRACT_KEY].decode()
    return json.loads(path.read_text(encoding="utf-8"))["contract"]


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.suffix in (".json", ".parquet")],
    ids=lambda path: f"{path.parent.name}-{path.name}",
)
def test_a_file_is_read_or_refused_with_the_way_out(path: Path) -> None:
    contract = contract_of(path)
    now = next(one for one in sorted(CURRENT) if one.startswith(contract.split("/")[0] + "/"))
    read = read_table if path.suffix == ".parquet" else read_json
    if contract == now:
        assert len(read(path, now))
    else:
        with pytest.raises(TwinError, match=r"an earlier version of the library wrote it: delete it and run again"):
            read(path, now)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_twins_alignments_and_searches_are_read(version: Path) -> None:
    assert load_twin(version).sample_rate > 0
    assert Alignment.from_dict(read_json(version / "alignment.json", contracts.ALIGNMENT)).pieces
    architecture, _ = resolve_model("null", '{"steps": 10}', [version / "best.yaml"])
    assert architecture.network.receptive_field > 1
