import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.dataset.factories import (
    GUARD,
    RATE,
    SETTINGS,
    SIZE,
    SPLITS,
    alignment,
    signals,
    source,
    take,
    write,
    write_part_files,
    written_pair,
    written_reel,
)
from twinlib.alignment.result import Excluded, Window
from twinlib.dataset.manifest import CaptureFiles, build_manifest, dataset_digest, refuse_useless, write_manifest
from twinlib.dataset.segments import tile_pair
from twinlib.errors import DatasetError, TwinError
from twinlib.files import read_json, read_table, sha256_file, write_json


def part(folder: Path, capture: str, frames: int, **changes: object) -> CaptureFiles:
    take_path, alignment_path = write_part_files(folder / capture, frames, changes)
    return CaptureFiles(folder / f"{capture}.parquet", folder / f"{capture}.arrow", take_path, alignment_path)


def device(folder: Path, excluded: tuple[str, ...] = ()) -> list[CaptureFiles]:
    parts = []
    for seed, capture in enumerate(("r-01", "r-02")):
        made, *_ = written_reel(folder, seed, capture, excluded)
        parts.append(part(folder, capture, made.frames))
    return parts


def test_the_manifest_joins_all_captures(tmp_path: Path) -> None:
    parts = device(tmp_path)
    segments, dataset = build_manifest("box", parts)
    separate = pd.concat([read_table(p.segments, "segments/1") for p in parts])
    assert len(segments) == len(separate)
    assert segments["segment_id"].is_unique
    order = list(zip(segments["capture"], segments["start"], strict=True))
    assert order == sorted(order)
    assert dataset["sample_rate"] == RATE
    assert (dataset["segment_samples"], dataset["guard_samples"]) == (SIZE, GUARD)
    for split in SPLITS:
        count = int((separate["split"] == split).sum())
        assert dataset["splits"][split]["segments"] == count
        assert dataset["splits"][split]["seconds"] == pytest.approx(count * SIZE / RATE, abs=1e-3)
    usable = sum(dataset["splits"][split]["segments"] for split in SPLITS)
    assert usable + dataset["excluded"]["all"]["segments"] == len(segments)
    assert sorted(dataset["captures"]) == ["r-01", "r-02"]
    assert sorted(dataset["licences"]) == [f"CC-{split}" for split in sorted(SPLITS)]
    assert dataset["sums"]["shards"]["r-02"] == sha256_file(tmp_path / "r-02.arrow")
    assert dataset["simulated"] is False


def test_the_order_of_the_captures_does_not_matter(tmp_path: Path) -> None:
    parts = device(tmp_path)
    first = write_manifest(tmp_path / "a", *build_manifest("box", parts, ["r-04", "r-03"]))
    second = write_manifest(tmp_path / "b", *build_manifest("box", parts[::-1], ["r-03", "r-04"]))
    assert first == second
    assert first["missing_captures"] == ["r-03", "r-04"]
    for name in ("segments.parquet", "dataset.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_written_manifests_hold_their_digests(tmp_path: Path) -> None:
    segments, dataset = build_manifest("box", device(tmp_path))
    content = write_manifest(tmp_path / "out", segments, dataset)
    assert read_json(tmp_path / "out" / "dataset.json", "dataset/1") == content
    assert content["sums"]["segments"] == sha256_file(tmp_path / "out" / "segments.parquet")
    assert content["digest"] == dataset_digest(content["sums"])


def test_the_digest_follows_the_audio(tmp_path: Path) -> None:
    digests = set()
    for name, excluded in (("a", ()), ("b", ("train-0",)), ("c", ("valid-1",)), ("d", ())):
        digests.add(
            write_manifest(tmp_path / name, *build_manifest("box", device(tmp_path / name, excluded)))["digest"]
        )
    assert len(digests) == 3


def test_exclusions_by_reason_and_track(tmp_path: Path) -> None:
    segments, dataset = build_manifest("box", device(tmp_path, ("train-0", "test-1")))
    reasons, tracks = dataset["excluded"]["reasons"], dataset["excluded"]["tracks"]
    assert sorted(tracks) == ["test-1", "train-0"]
    flags = segments["flags"].map(list)
    for track, amount in tracks.items():
        assert amount["segments"] == sum(f"excluded:{track}" in found for found in flags)
    for reason in ("silence", "click"):
        assert reasons[reason]["segments"] == sum(reason in found for found in flags)
    assert reasons["excluded"]["segments"] == sum(any(f.startswith("excluded:") for f in found) for found in flags)


def test_an_empty_split_has_reason_and_remedy(tmp_path: Path) -> None:
    tracks = tuple(f"valid-{k}" for k in range(4))
    with pytest.raises(DatasetError, match=r"no usable segment for valid.*excluded.*another seed or salt"):
        build_manifest("box", device(tmp_path, tracks))
    written_pair(tmp_path, split="train")
    with pytest.raises(DatasetError, match="Give one of its captures the split valid"):
        build_manifest("box", [part(tmp_path, "p", 40_000)])


@pytest.mark.parametrize(
    "reason",
    ["lost-samples", "repeated-samples", "not-recognised", "misaligned", "disturbed", "non-finite", "unknown-lag"],
)
def test_every_reason_of_the_alignment_has_a_remedy(tmp_path: Path, reason: str) -> None:
    origin = source(40_000, "p", lag=0.0, excluded=(Excluded(0, 40_000, reason),))
    write(tmp_path, tile_pair(origin, "d", SETTINGS, split="train"), origin, *signals(40_000))
    with pytest.raises(DatasetError, match=rf"no usable segment for train. .*Remedies: {reason}: \w+"):
        build_manifest("box", [part(tmp_path, "p", 40_000)])


def test_an_unsteady_capture_has_a_remedy(tmp_path: Path) -> None:
    origin = source(40_000, "p", lag=0.0, track=(Window(0.0, 0.0, 1.0, 0.7),))
    write(tmp_path, tile_pair(origin, "d", SETTINGS, split="train"), origin, *signals(40_000))
    with pytest.raises(DatasetError, match=r"unsteady: .*one interface"):
        build_manifest("box", [part(tmp_path, "p", 40_000)])


@pytest.mark.parametrize("flag", ["lost-samples", "not-recognised", "disturbed", "outside-take", "silence"])
def test_the_remedies_of_a_pair_mention_no_recording(tmp_path: Path, flag: str) -> None:
    excluded = () if flag in ("outside-take", "silence") else (Excluded(0, 40_000, flag),)
    frames = 100 if flag == "outside-take" else 40_000
    origin = source(40_000, "p", lag=0.0, excluded=excluded, wet_frames=frames)
    silence = [(0, 40_000)] if flag == "silence" else []
    segments = tile_pair(origin, "d", SETTINGS, split="train", silence=silence)
    write(tmp_path, segments, origin, *signals(40_000))
    with pytest.raises(DatasetError, match=rf"Remedies: {flag}: ") as caught:
        build_manifest("box", [part(tmp_path, "p", 40_000, kind="pair")])
    assert not re.search(r"\b(reel|(?<!-)take|interface|buffer)\b", str(caught.value))


def test_a_refused_pair_is_not_to_be_recorded(tmp_path: Path) -> None:
    changes = {"verdict": "refused", "reasons": ["it is silence"], "kind": "pair"}
    origin = source(40_000, "p", take_changes=dict(changes))
    write(tmp_path, tile_pair(origin, "d", SETTINGS), origin, *signals(40_000))
    written_pair(tmp_path, 40_000, "q")
    dataset = build_manifest("box", [part(tmp_path, "p", 40_000, **changes), part(tmp_path, "q", 40_000)])[1]
    with pytest.raises(DatasetError, match=r"p: it is silence\. Correct or replace these pairs"):
        refuse_useless(dataset)


def test_an_alignment_of_another_contract_is_rejected(tmp_path: Path) -> None:
    made, *_ = written_reel(tmp_path)
    old = part(tmp_path, "r-01", made.frames)
    write_json(old.alignment, "alignment/1", {"verdict": "ok"})
    with pytest.raises(
        TwinError, match=r"alignment/1, not alignment/2: an earlier version .* wrote it: delete it and run again"
    ):
        build_manifest("box", [old])


def test_a_pair_alone_makes_a_dataset(tmp_path: Path) -> None:
    written_pair(tmp_path)
    segments, dataset = build_manifest("box", [part(tmp_path, "p", 40_000)])
    content = write_manifest(tmp_path, segments, dataset)
    assert content["licences"] == {}
    assert len(read_table(tmp_path / "segments.parquet", "segments/1")) == len(segments)


def test_mismatched_captures_are_rejected(tmp_path: Path) -> None:
    parts = device(tmp_path)
    origin = source(50_000, "other", lag=0.0)
    bigger = SETTINGS.model_copy(update={"segment_samples": 512})
    write(tmp_path, tile_pair(origin, "d", bigger), origin, *signals(50_000))
    with pytest.raises(DatasetError, match="other has 512 samples per segment, r-01 has 256"):
        build_manifest("box", [*parts, part(tmp_path, "other", 50_000)])
    with pytest.raises(DatasetError, match="twice"):
        build_manifest("box", [*parts, parts[0]])
    with pytest.raises(DatasetError, match="has no captures"):
        build_manifest("box", [])
    with pytest.raises(DatasetError, match="belongs to the device box"):
        build_manifest("other", parts)


def test_mismatched_files_are_rejected(tmp_path: Path) -> None:
    one, two = device(tmp_path)
    with pytest.raises(DatasetError, match="not written together"):
        build_manifest("box", [CaptureFiles(one.segments, two.shard, two.take, two.alignment)])
    write_json(one.take, "take/1", take(seed=9))
    with pytest.raises(DatasetError, match="different recordings"):
        build_manifest("box", [one, two])


def test_simulated_captures_are_marked(tmp_path: Path) -> None:
    made, *_ = written_reel(tmp_path, take_changes={"simulated": True})
    _, dataset = build_manifest("box", [part(tmp_path, "r-01", made.frames, simulated=True)])
    assert dataset["simulated"] is True
    assert dataset["captures"]["r-01"]["simulated"] is True


def test_a_refused_capture_is_listed_with_its_reasons(tmp_path: Path) -> None:
    parts = device(tmp_path)
    changes = {"verdict": "refused", "reasons": ["it is silence: plug the cable in"], "seed": 7}
    made, *_ = written_reel(tmp_path, 5, "r-03", take_changes=dict(changes))
    segments, dataset = build_manifest("box", [*parts, part(tmp_path, "r-03", made.frames, **changes)])
    summary = dataset["captures"]["r-03"]
    assert summary["take_verdict"] == "refused"
    assert summary["take_reasons"] == ["it is silence: plug the cable in"]
    assert summary["usable"]["segments"] == 0
    assert summary["all"]["segments"] == dataset["excluded"]["reasons"]["refused-take"]["segments"]
    assert (segments["row"][segments["capture"] == "r-03"] == -1).all()
    assert alignment(made.frames).verdict == summary["alignment_verdict"]
    with pytest.raises(DatasetError, match=r"1 of 3 captures .*: r-03: it is silence: plug the cable in"):
        refuse_useless(dataset)
    with pytest.raises(DatasetError, match=r": r-03 \(takes/3\.wav\): it is silence.*or set allow_missing_takes: true"):
        refuse_useless(dataset, {"r-01": "takes/1.wav", "r-03": "takes/3.wav"})
    refuse_useless(build_manifest("box", parts)[1])
    with pytest.raises(DatasetError, match=r"no usable segment for train.*r-03: it is silence"):
        build_manifest("box", [part(tmp_path, "r-03", made.frames, **changes)])


def test_tracks_of_divided_artists_are_left_out_with_the_reason(tmp_path: Path) -> None:
    parts = device(tmp_path)
    whole, _ = build_manifest("box", parts)
    segments, dataset = build_manifest("box", parts, divided={"test-1": "Anna"})
    held = np.array(["test-1" in ids for ids in segments["track_ids"]])
    assert 0 < (held & (whole["split"] == "test")).sum() < (whole["split"] == "test").sum()
    assert segments["split"].tolist() == ["" if out else split for out, split in zip(held, whole["split"], strict=True)]
    assert dataset["divided_artists"] == {"Anna": ["test-1"]}
    count = dataset["excluded"]["reasons"]["artist-in-two-splits"]["segments"]
    assert count == (held & (whole["split"] == "test")).sum()
    with pytest.raises(DatasetError, match=r"no usable segment for test.*artist in several splits.*another name"):
        build_manifest("box", parts, divided=dict.fromkeys([f"test-{k}" for k in range(4)], "Anna"))
