# Copies the folders of `fetch` from S3: snakemake --snakefile workflow/fetch.smk --cores 8
# A run of the workflow reads the copies. An object that has changed is copied again.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from twinlib.config import load_config
from twinlib.errors import TwinError
from twinlib.fetch import files_to_fetch, forget_lost

min_version("9.27")

if not workflow.overwrite_configfiles:

    configfile: "config/config.yaml"


storage s3:
    provider="s3",


def find_files():
    """The URL and the file of each object, by its digest."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    paths = [Path(path) for path in workflow.overwrite_configfiles] or [Path("config/config.yaml")]
    found = {}
    try:
        for entry in load_config(*paths, overrides=workflow.config_settings.config).fetch:
            # The S3 plugin fails to list objects.
            objects = boto3.resource("s3").Bucket(entry.bucket).objects.filter(Prefix=entry.prefix)
            files = files_to_fetch(entry, (one.key for one in objects))
            if not files:
                raise WorkflowError(f"fetch: {entry.url} has no objects: check the name")
            found |= files
    except TwinError as error:
        raise WorkflowError(str(error)) from None
    except (BotoCoreError, ClientError) as error:
        raise WorkflowError(f"fetch: {error}. Check AWS_ENDPOINT_URL and the credentials (see docs/how-to/cluster.md)")
    if not found:
        raise WorkflowError("the configuration lists no folders under `fetch`")
    return found


FILES = find_files()
forget_lost(Path(".fetched"), FILES)


wildcard_constraints:
    digest="[0-9a-f]{20}",


rule all:
    default_target: True
    input:
        expand(".fetched/{digest}", digest=FILES),
    localrule: True


rule fetch_file:
    input:
        lambda wildcards: storage.s3(FILES[wildcards.digest][0]),
    output:
        # `update` would give the marker of a refused file a new time, so that the next run would skip it.
        touch(".fetched/{digest}"),
    params:
        python=sys.executable,
        file=lambda wildcards: FILES[wildcards.digest][1],
        sums=lambda wildcards: f".fetched/{wildcards.digest}.sha256",
    shell:
        "{params.python:q} -m twinlib.fetch --source={input:q} --path={params.file:q} --sums={params.sums:q}"
