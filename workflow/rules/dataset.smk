# Segments: one shard per capture, one manifest per device, and the leak check.


rule cut_shard:
    input:
        dry=get_dry,
        wet=get_wet,
        take="<results>/devices/{device}/{capture}/take.json",
        alignment="<results>/devices/{device}/{capture}/alignment.json",
        captures=get_comparison,
        cues=lambda wildcards: get_excitation_file(wildcards, "cues.parquet"),
        excitation=lambda wildcards: get_excitation_file(wildcards, "excitation.json"),
    output:
        shard="<results>/devices/{device}/shards/{capture}.arrow",
        segments="<results>/devices/{device}/shards/{capture}.parquet",
        record="<results>/devices/{device}/shards/{capture}.arrow.prov.json",
    log:
        "<logs>/cut_shard/{device}/{capture}.log",
    benchmark:
        "<benchmarks>/cut_shard/{device}/{capture}.tsv"
    params:
        settings=CONFIG.dataset.model_dump_json(),
        withdrawn=get_excluded_tracks,
        pair=lambda wildcards: json.dumps(get_capture(wildcards).cut),
        channel=lambda wildcards: get_capture(wildcards).channel,
        code=code("cut_shard.py"),
    shell:
        "stage cut_shard --device {wildcards.device} --name {wildcards.capture}"
        " --settings {params.settings:q} --withdrawn {params.withdrawn:q} --pair {params.pair:q}"
        " --channel {params.channel} --dry {input.dry:q} --wet {input.wet:q} --take {input.take:q}"
        " --alignment {input.alignment:q} --captures {input.captures:q} --cues {input.cues:q} --excitation {input.excitation:q}"
        " --shard {output.shard:q} --segments {output.segments:q} 2>&1 | tee -i -- {log:q}"


rule build_manifest:
    input:
        shards=get_shards,
        segments=lambda wildcards: get_capture_files(wildcards, "shards/{capture}.parquet"),
        takes=lambda wildcards: get_capture_files(wildcards, "{capture}/take.json"),
        alignments=lambda wildcards: get_capture_files(wildcards, "{capture}/alignment.json"),
        captures="<results>/devices/{device}/captures.json",
    output:
        segments="<results>/devices/{device}/segments.parquet",
        dataset=report(
            "<results>/devices/{device}/dataset.json",
            caption="../report/dataset.rst",
            category="Datasets",
            labels={"device": "{device}"},
        ),
        record="<results>/devices/{device}/segments.parquet.prov.json",
    log:
        "<logs>/build_manifest/{device}.log",
    benchmark:
        "<benchmarks>/build_manifest/{device}.tsv"
    params:
        missing=get_missing_captures,
        divided=get_divided_tracks,
        code=code("build_manifest.py"),
        # Params that depend on the output trigger no rerun: this one matters only if a capture is refused.
        tolerant=lambda wildcards, output: json.dumps(CONFIG.allow_missing_takes),
    shell:
        "stage build_manifest --device {wildcards.device} --missing {params.missing:q}"
        " --tolerant {params.tolerant} --divided {params.divided:q} --shards {input.shards:q} --takes {input.takes:q}"
        " --alignments {input.alignments:q} --captures {input.captures:q} --segments {output.segments:q} --dataset {output.dataset:q} 2>&1 | tee -i -- {log:q}"


rule check_leaks:
    input:
        segments="<results>/devices/{device}/segments.parquet",
        cues=lambda wildcards: get_excitation_file(wildcards, "cues.parquet"),
        fingerprints=lambda wildcards: get_excitation_file(wildcards, "fingerprints.parquet"),
    output:
        leaks="<results>/devices/{device}/leaks.json",
        record="<results>/devices/{device}/leaks.json.prov.json",
    log:
        "<logs>/check_leaks/{device}.log",
    benchmark:
        "<benchmarks>/check_leaks/{device}.tsv"
    params:
        by=lambda wildcards: (
            CONFIG.excitations[CONFIG.devices[wildcards.device].excitation].split.by
            if CONFIG.devices[wildcards.device].excitation
            else "track"
        ),
        # Params that depend on the output trigger no rerun: a name that matters changes the manifest.
        artists=lambda wildcards, output: json.dumps(CONFIG.corpus.artists if CONFIG.corpus else {}),
        code=code("check_leaks.py"),
    shell:
        "stage check_leaks --by {params.by} --artists {params.artists:q} --segments {input.segments:q} --cues {input.cues:q}"
        " --fingerprints {input.fingerprints:q} --leaks {output.leaks:q} 2>&1 | tee -i -- {log:q}"


DATASET_FILES = [
    path
    for name in READY
    for path in (
        *expand(rules.cut_shard.output.record, device=name, capture=CAPTURES[name].music),
        *expand(
            [rules.compare_captures.output.record, rules.build_manifest.output.record, rules.check_leaks.output.record],
            device=name,
        ),
    )
]
