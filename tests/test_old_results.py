"""Results of other versions are read, or refused with the way out.

Never replace the files in `old_results`: they are what users have.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from twinlib import contracts
from twinlib.alignment import Alignment
from twinlib.audit.headers import read_twin_header
from twinlib.contracts import TWIN_FILE
from twinlib.dataset import Shard
from twinlib.errors import TwinError
from twinlib.files import CONTRACT_KEY, read_json, read_table, write_json, write_table
from twinlib.model import load_tensors, save_tensors
from twinlib.model.twin import load_twin
from twinlib.schemas import JSON
from twinlib.table_schemas import TABLES
from twinlib.training.best_config import resolve_model
from twinlib.training.checkpoint import Checkpoint, State, load_checkpoint, save_checkpoint

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


def read_other_json(folder: Path, contract: str, other: str) -> None:
    write_json(folder / "file.json", other, {})
    read_json(folder / "file.json", contract)


def read_other_table(folder: Path, contract: str, other: str) -> None:
    write_table(folder / "file.parquet", other, pd.DataFrame({"a": [1]}))
    read_table(folder / "file.parquet", contract)


def read_other_twin(folder: Path, contract: str, other: str) -> None:
    save_tensors(folder / TWIN_FILE, other, {}, {"weight": np.zeros(3, np.float32)})
    with pytest.raises(TwinError, match="version of the library wrote it"):
        read_twin_header(folder / TWIN_FILE)
    load_twin(folder)


def read_other_shard(folder: Path, contract: str, other: str) -> None:
    schema = pa.schema([("dry", pa.float32())], metadata={CONTRACT_KEY: other.encode()})
    with pa.OSFile(str(folder / "file.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        writer.write_table(schema.empty_table())
    Shard.open(folder / "file.arrow")


def read_other_search(folder: Path, contract: str, other: str) -> None:
    (folder / "best.yaml").write_text(yaml.safe_dump({"contract": other}))
    resolve_model("null", '{"steps": 10}', [folder / "best.yaml"])


READERS = {
    **dict.fromkeys(JSON, read_other_json),
    **dict.fromkeys(TABLES, read_other_table),
    contracts.BEST: read_other_search,
    contracts.SHARD: read_other_shard,
    contracts.TWIN: read_other_twin,
}
"""A reader for each contract: it writes a file of another version and reads it."""

UNREAD = {contracts.EXPORTED_TWIN, contracts.TRACE}
"""Files for other programs."""


def test_every_contract_has_a_reader() -> None:
    names = {name for name in CURRENT if "/" in name}
    assert names == {*READERS, *UNREAD, contracts.CHECKPOINT}


@pytest.mark.parametrize("contract", READERS)
@pytest.mark.parametrize(
    ("step", "words"),
    [
        (-1, "an earlier version of the library wrote it: delete it and run again"),
        (1, "a later version of the library wrote it: update the library, or delete the file and run again"),
    ],
    ids=["earlier", "later"],
)
def test_another_version_is_refused_with_the_way_out(contract: str, step: int, words: str, tmp_path: Path) -> None:
    name, version = contract.split("/")
    other = f"{name}/{int(version) + step}"
    with pytest.raises(TwinError, match=rf"{tmp_path}/\S+ has the contract {other}, not {contract}: {words}"):
        READERS[contract](tmp_path, contract, other)


def test_a_training_does_not_resume_from_a_checkpoint_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / contracts.CHECKPOINT_FILE
    save_checkpoint(tmp_path, "me", Checkpoint(State(), {}, {}, {}, {}, {}))
    assert load_checkpoint(tmp_path, "me") is not None
    save_tensors(path, "checkpoint/0", *load_tensors(path, contracts.CHECKPOINT))
    assert load_checkpoint(tmp_path, "me") is None
