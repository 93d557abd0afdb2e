"""Signatures of the records by SSH keys."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.audit.factories import Made
from twinlib.audit.pages import render_text
from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.signature import LIST, SIGNATURE, sign_records
from twinlib.audit.verify import verify
from twinlib.errors import AuditError
from twinlib.files import write_json
from twinlib.provenance.record import checksum_of, read_record, record_path

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys `mine` and `other`, and a file of signers that allows `mine`."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("mine", "other"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    (folder / "signers").write_text(f"me@example.org {(folder / 'mine.pub').read_text()}")
    return folder


@pytest.fixture
def signed(made: Made, keys: Path, tmp_path: Path) -> Path:
    results = Path(shutil.copytree(made.results, tmp_path / "results"))
    for name in ("corpus", "recordings", "pairs"):
        if (made.folder / name).exists():
            shutil.copytree(made.folder / name, tmp_path / name)
    sign_records(ResultsFolder(results), keys / "mine")
    return results


def differences(results: Path, signers: Path) -> dict[str, str]:
    return {one["file"]: one["code"] for one in verify(ResultsFolder(results), signers=signers)["differences"]}


def test_a_signed_folder_verifies(signed: Path, keys: Path) -> None:
    answer = verify(ResultsFolder(signed), signers=keys / "signers")
    assert (answer["differences"], answer["unrecorded"]) == ([], [])
    assert answer["signature"] == {"signer": "me@example.org", "records": answer["records"], "unsigned": ()}
    assert f"{answer['records']} records signed by me@example.org" in render_text("verify", answer)
    # The list is that of sha256sum.
    done = subprocess.run(["sha256sum", "--check", "--quiet", LIST], cwd=signed, capture_output=True, check=False)
    assert done.returncode == 0
    before = (signed / LIST).read_bytes()
    sign_records(ResultsFolder(signed), keys / "mine")
    assert (signed / LIST).read_bytes() == before


def test_a_record_that_was_rewritten_with_its_checksums_is_found(signed: Path, keys: Path) -> None:
    """Without the signature, a consistent forgery is not found."""
    path = record_path(signed / "devices" / "box" / "segments.parquet")
    content = {**read_record(path), "started": "1999-01-01T00:00:00+00:00"}
    write_json(path, "record/1", {**content, "sum": checksum_of(content)})
    assert verify(ResultsFolder(signed))["differences"] == []
    assert differences(signed, keys / "signers") == {path.relative_to(signed).as_posix(): "signed-record-changed"}


def test_a_removed_record_and_a_new_one_are_named(signed: Path, keys: Path) -> None:
    gone = record_path(signed / "twins" / "box" / "small" / "evaluation" / "metrics.json")
    new = gone.with_name("copy.json.prov.json")
    shutil.copy(gone, new)
    gone.unlink()
    answer = verify(ResultsFolder(signed), signers=keys / "signers")
    assert {"file": gone.relative_to(signed).as_posix(), "code": "signed-record-missing"} in [
        {key: one[key] for key in ("file", "code")} for one in answer["differences"]
    ]
    assert answer["signature"]["unsigned"] == (new.relative_to(signed).as_posix(),)


@pytest.mark.parametrize("case", ["list", "other key", "damaged"])
def test_an_invalid_signature_is_found(signed: Path, keys: Path, case: str) -> None:
    if case == "list":
        (signed / LIST).write_text((signed / LIST).read_text().replace("0", "1", 1))
    elif case == "other key":
        sign_records(ResultsFolder(signed), keys / "other")
    else:
        (signed / SIGNATURE).write_text("no signature\n")
    answer = verify(ResultsFolder(signed), signers=keys / "signers")
    assert [one["code"] for one in answer["differences"]] == ["signature-invalid"]
    assert answer["signature"] is None


def test_a_failed_signing_keeps_the_signature(signed: Path, keys: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in signed.iterdir())
    before = [(signed / name).read_bytes() for name in (LIST, SIGNATURE)]
    record_path(signed / "twins" / "box" / "small" / "evaluation" / "metrics.json").unlink()
    with pytest.raises(AuditError, match=r"nokey cannot sign"):
        sign_records(ResultsFolder(signed), tmp_path / "nokey")
    assert [(signed / name).read_bytes() for name in (LIST, SIGNATURE)] == before
    assert sorted(path.name for path in signed.iterdir()) == names
    assert set(differences(signed, keys / "signers").values()) >= {"signed-record-missing"}


def test_what_cannot_be_signed_or_verified_is_refused(signed: Path, keys: Path, tmp_path: Path) -> None:
    with pytest.raises(AuditError, match=r"nosigners does not exist: name a file of allowed signers .* with --signers"):
        verify(ResultsFolder(signed), signers=keys / "nosigners")
    (signed / SIGNATURE).unlink()
    with pytest.raises(AuditError, match=r"nokey cannot sign .*results/records\.sha256 "):
        sign_records(ResultsFolder(signed), tmp_path / "nokey")
    assert not (signed / SIGNATURE).exists()
    with pytest.raises(AuditError, match=r"records\.sha256\.sig does not exist: sign the records"):
        verify(ResultsFolder(signed), signers=keys / "signers")
    with pytest.raises(AuditError, match="contains no stage record"):
        sign_records(ResultsFolder(tmp_path), keys / "mine")
