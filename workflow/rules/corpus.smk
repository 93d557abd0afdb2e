# What music there is.


rule index:
    input:
        lambda wildcards: refused(source_files, CONFIG.corpus),
    output:
        tracks="<results>/corpus/tracks.parquet",
        index="<results>/corpus/index.json",
        record="<results>/corpus/tracks.parquet.prov.json",
    log:
        "<logs>/index.log",
    benchmark:
        "<benchmarks>/index.tsv"
    params:
        settings=lambda wildcards: settings(CONFIG.corpus),
        code=code("index.py"),
    shell:
        "stage index --settings {params.settings:q} --tracks {output.tracks:q} --index {output.index:q}"
        " 2>&1 | tee -i {log:q}"
