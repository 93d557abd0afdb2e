"""The run of the test factories is consistent."""

from pathlib import Path

from tests.audit.factories import Made
from twinlib.contracts import DATASET, SEGMENTS
from twinlib.files import read_json, read_table, sha256_file
from twinlib.provenance.record import SUFFIX, read_record


def test_its_chain_of_records_is_complete(made: Made) -> None:
    records = [read_record(path) for path in sorted(made.results.rglob(f"*{SUFFIX}"))]
    outputs = {name: sha for record in records for name, sha in record["outputs"].items()}
    assert sum(len(record["outputs"]) for record in records) == len(outputs)
    for record in records:
        for name, sha in record["inputs"].items():
            assert outputs.get(name, sha) == sha
            assert name in outputs or not name.startswith("results/")
    for name, sha in outputs.items():
        assert sha256_file(made.folder / name) == sha
    left = {path.relative_to(made.folder).as_posix() for path in made.results.rglob("*") if path.is_file()}
    assert {name for name in left if not name.endswith(SUFFIX)} == set(outputs)


def test_every_device_has_all_splits_without_the_excluded_track(made: Made) -> None:
    for device in made.devices:
        folder = made.results / "devices" / device
        segments = read_table(folder / "segments.parquet", SEGMENTS)
        usable = segments[segments.split != ""]
        assert set(usable.split) == {"train", "valid", "test"}
        tracks = set(usable.track_ids.explode().dropna())
        assert not tracks & set(made.excluded)
        assert bool(tracks) == (device != "pedal")
        assert not read_json(folder / "leaks.json", "leaks/1")["leaks"]
        excluded = read_json(folder / "dataset.json", DATASET)["excluded"]["reasons"]
        assert ("excluded" in excluded) == (device != "pedal")
        assert ("clipped" in excluded) == (device == made.devices[0])


def test_the_takes_of_the_first_device_are_outside_the_results(made: Made) -> None:
    takes = [read_json(p, "take/1")["path"] for p in sorted((made.results / "devices" / "box").rglob("take.json"))]
    assert takes
    assert all(Path(take).parts[0] == "recordings" for take in takes)
