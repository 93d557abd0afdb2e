# The index of the music corpus.


rule index_corpus:
    output:
        tracks="<results>/corpus/tracks.parquet",
        index="<results>/corpus/index.json",
        record="<results>/corpus/tracks.parquet.prov.json",
    log:
        "<logs>/index_corpus.log",
    benchmark:
        "<benchmarks>/index_corpus.tsv"
    params:
        settings=lambda wildcards: CONFIG.corpus.model_dump_json(),
        # Names of songs may contain braces and angle brackets, which Snakemake would fill in as wildcards of an input. The
        # stage record holds the content of the files.
        files=lambda wildcards: as_workflow_error(file_names_digest, CONFIG.corpus),
        code=code("index_corpus.py"),
    shell:
        "stage index_corpus --settings {params.settings:q} --tracks {output.tracks:q} --index {output.index:q}"
        " 2>&1 | tee -i -- {log:q}"
