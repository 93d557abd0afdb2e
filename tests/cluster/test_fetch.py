"""Corpus and takes from S3, by Snakemake's plugin and a server of moto."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from tests.cluster.plugins import environment, require
from tests.cluster.postgres import free_port, wait_for
from tests.workflow.project import REPOSITORY, Project, takes_config

pytestmark = pytest.mark.slow

OBJECTS = {
    "MedleyDB/artist0/song.wav": b"a song" * 100,
    "MedleyDB/artist1/-100% $HOME & 'more'.wav": b"another" * 100,
    "takes/tiny-01.wav": b"a take" * 100,
}
FETCH = [
    {"url": "s3://studio/MedleyDB", "folder": "corpus"},
    {"url": "s3://studio/takes", "folder": "my recordings"},
]
SIGNED = {
    "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=, Signature="
}
"""Moto does not check signatures."""


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[str]:
    """A bucket with the objects; yields its URL."""
    require("")
    port = free_port()
    with (tmp_path / "moto.txt").open("wb") as log:
        command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, env=environment(), stdout=log, stderr=log)
    try:
        uri = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(uri), process)
        requests.put(f"{uri}/studio", headers=SIGNED, timeout=30).raise_for_status()
        for name, content in OBJECTS.items():
            put(f"{uri}/studio", name, content)
        yield f"{uri}/studio"
    finally:
        process.kill()
        process.wait()


def _answers(uri: str) -> bool:
    try:
        return requests.get(uri, timeout=5).ok
    except requests.ConnectionError:
        return False


def put(bucket: str, name: str, content: bytes) -> None:
    path = requests.utils.quote(name)
    requests.put(f"{bucket}/{path}", data=content, headers=SIGNED, timeout=30).raise_for_status()


def fetch(project: Project, bucket: str) -> tuple[int, str]:
    variables = {"AWS_ENDPOINT_URL": bucket.rsplit("/", 1)[0], "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    command = [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "workflow" / "fetch.smk"), "--cores", "1"),
        *("--configfile", "config.yaml"),
    ]
    done = subprocess.run(
        command, cwd=project.folder, env=environment(**variables), capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parts[len(folder.parts)][0] != "."]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.name != "config.yaml"}


def test_fetched_files_equal_the_objects_and_only_a_changed_object_is_copied_again(bucket: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "project")
    project.folder.mkdir()
    (project.folder / "config.yaml").write_text(yaml.safe_dump(takes_config(fetch=FETCH)))
    code, text = fetch(project, bucket)
    assert code == 0, text
    expected = {
        name.replace("MedleyDB/", "corpus/").replace("takes/", "my recordings/"): content
        for name, content in OBJECTS.items()
    }
    assert contents(project.folder) == expected
    put(bucket, "takes/tiny-01.wav", b"recorded again")
    code, text = fetch(project, bucket)
    assert code == 0, text
    assert "1 of 2 steps" in text
    assert contents(project.folder) == expected | {"my recordings/tiny-01.wav": b"recorded again"}
    (project.folder / "corpus" / "artist0" / "song.wav").unlink()
    code, text = fetch(project, bucket)
    assert code == 0, text
    assert contents(project.folder) == expected | {"my recordings/tiny-01.wav": b"recorded again"}
    (project.folder / "my recordings" / "tiny-01.wav").write_bytes(b"a take of mine")
    put(bucket, "takes/tiny-01.wav", b"recorded a third time")
    for _ in range(2):
        code, text = fetch(project, bucket)
        assert code == 1
        assert "my recordings/tiny-01.wav differs from its object" in text
        assert "Traceback" not in text
        assert contents(project.folder) == expected | {"my recordings/tiny-01.wav": b"a take of mine"}
    put(bucket, "takes/tiny #2.wav", b"x")
    code, text = fetch(project, bucket)
    assert code == 1
    assert "names with # cannot be fetched: rename the object" in text
    assert "Traceback" not in text
