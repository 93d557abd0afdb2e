"""Signatures of all stage records by SSH keys, as git makes them: a changed folder cannot rewrite its own proof.

`sign_records` lists the sha256 of every record in `records.sha256` (as `sha256sum` does) and signs the list in
`records.sha256.sig`. The records hold the sha256 of all other files. Needs `ssh-keygen` of OpenSSH 8.2 or newer.
"""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from twinlib.audit.results_folder import ResultsFolder
from twinlib.errors import AuditError
from twinlib.files import sha256_file, write_text
from twinlib.findings import Finding, refused

LIST, SIGNATURE = "records.sha256", "records.sha256.sig"
"""The signed list of records and its signature, in the results folder."""

_NAMESPACE = "twinlib"


@dataclass(frozen=True)
class Signed:
    """What a valid signature says."""

    signer: str
    """The principal in the file of allowed signers."""
    records: int
    """Records in the signed list."""
    unsigned: tuple[str, ...]
    """Records made since the signature, sorted."""


def sign_records(results: ResultsFolder, key: Path) -> Path:
    """List and sign all records with a private SSH key, or a public one whose private key ssh-agent holds.

    Returns the list. `ssh-keygen` asks for the passphrase of the key. Raises `AuditError` if the key cannot sign; an
    earlier list and its signature then stay.
    """
    names = sorted(stage.name for stage in results.stages)
    listed = results.folder / LIST
    with TemporaryDirectory(prefix=".sign-", dir=results.folder) as temporary:
        new = Path(temporary) / LIST
        write_text(new, "".join(f"{sha256_file(results.folder / name)}  {name}\n" for name in names))
        _ssh_keygen(["-Y", "sign", "-q", "-f", str(key), "-n", _NAMESPACE, str(new)], f"{key} cannot sign {listed}")
        new.replace(listed)
        new.with_name(SIGNATURE).replace(results.folder / SIGNATURE)
    return listed


def verify_signature(results: ResultsFolder, signers: Path) -> tuple[Signed | None, list[Finding]]:
    """Check the signature against a file of allowed signers (ssh-keygen(1)), and all records against the signed list.

    Returns who signed, None for an invalid signature, and findings for the signature and for each record that was
    changed or removed. Raises `AuditError` if there is no signature, no file of signers or no ssh-keygen.
    """
    listed, signature = results.folder / LIST, results.folder / SIGNATURE
    for path in (listed, signature):
        if not path.is_file():
            raise AuditError(f"{path} does not exist: sign the records with `twin audit sign --key KEY`")
    if not signers.is_file():
        raise AuditError(f"{signers} does not exist: name a file of allowed signers (see ssh-keygen(1)) with --signers")
    words = ["-f", str(signers), "-s", str(signature)]
    try:
        found = _ssh_keygen(["-Y", "find-principals", *words], f"{signature} is by no signer in {signers}")
        signer = found.splitlines()[0]
        content = listed.read_bytes()
        checked = ["-Y", "verify", *words, "-I", signer, "-n", _NAMESPACE]
        _ssh_keygen(checked, f"{signature} does not match {listed}", content)
    except _Invalid as error:
        return None, [refused("signature-invalid", file=SIGNATURE, reason=str(error))]
    recorded = dict(_entries(content.decode()))
    findings = list(_compare(results, recorded))
    unsigned = sorted({stage.name for stage in results.stages} - recorded.keys())
    return Signed(signer, len(recorded), tuple(unsigned)), findings


class _Invalid(AuditError):
    """ssh-keygen refused."""


def _entries(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        sha256, _, name = line.partition("  ")
        yield name, sha256


def _compare(results: ResultsFolder, recorded: dict[str, str]) -> Iterator[Finding]:
    for name, sha256 in recorded.items():
        path = results.folder / name
        if not path.is_file():
            yield refused("signed-record-missing", file=name)
        elif sha256_file(path) != sha256:
            yield refused("signed-record-changed", file=name)


def _ssh_keygen(words: Sequence[str], problem: str, content: bytes | None = None) -> str:
    """Run ssh-keygen; return its output, or raise with its message."""
    try:
        done = subprocess.run(["ssh-keygen", *words], input=content, capture_output=True, check=False)
    except FileNotFoundError:
        raise AuditError("ssh-keygen is not installed: install OpenSSH 8.2 or newer") from None
    if done.returncode:
        lines = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise _Invalid(f"{problem} ({lines[-1] if lines else 'no message'})")
    return done.stdout.decode(errors="replace")
