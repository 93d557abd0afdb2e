# Excitations: cue sheet, reels, and the recording guide.


rule plan_excitation:
    # Not `ancient`: Snakemake skips a job without its outputs if such an input is the only one that is made again. The
    # files of a recorded excitation are sources, so that neither input causes it to be made again.
    input:
        tracks="<results>/corpus/tracks.parquet",
        exclude=lambda wildcards: str(CONFIG.corpus.exclude or "") or [],
    output:
        cues="<results>/excitations/{excitation}/cues.parquet",
        # A refused cue sheet of a recorded excitation must not cost its layout and its settings.
        excitation=update("<results>/excitations/{excitation}/excitation.json"),
        record=update("<results>/excitations/{excitation}/cues.parquet.prov.json"),
    log:
        "<logs>/plan_excitation/{excitation}.log",
    benchmark:
        "<benchmarks>/plan_excitation/{excitation}.tsv"
    wildcard_constraints:
        excitation=ACTIVE_PLANS,
    params:
        settings=get_plan_settings,
        corpus=lambda wildcards: RECORDED.param(
            wildcards.excitation, "cues.parquet", "corpus", CONFIG.corpus.model_dump_json()
        ),
        code=lambda wildcards: RECORDED.param(wildcards.excitation, "cues.parquet", "code", code("plan_excitation.py")),
    shell:
        "stage plan_excitation --name {wildcards.excitation} --settings {params.settings:q}"
        " --corpus {params.corpus:q} --tracks {input.tracks:q} --exclude {input.exclude:q} --cues {output.cues:q} --excitation {output.excitation:q}"
        " 2>&1 | tee -i -- {log:q}"


rule render_reel:
    input:
        cues="<results>/excitations/{excitation}/cues.parquet",
        excitation="<results>/excitations/{excitation}/excitation.json",
    output:
        reel="<results>/excitations/{excitation}/reels/{reel}.wav",
        record="<results>/excitations/{excitation}/reels/{reel}.wav.prov.json",
    log:
        "<logs>/render_reel/{excitation}/{reel}.log",
    benchmark:
        "<benchmarks>/render_reel/{excitation}/{reel}.tsv"
    wildcard_constraints:
        excitation=ACTIVE_REELS,
    params:
        code=lambda wildcards: RECORDED.param(
            wildcards.excitation,
            f"reels/{wildcards.reel}.wav",
            "code",
            code("render_reel.py"),
        ),
        # Params that depend on the output trigger no rerun: these paths change no reel.
        root=lambda wildcards, output: CONFIG.corpus.root,
        devices=lambda wildcards, output: RESULTS / "devices",
    shell:
        "stage render_reel --name {wildcards.reel} --root {params.root:q} --cues {input.cues:q}"
        " --excitation {input.excitation:q} --devices {params.devices:q} --reel {output.reel:q} 2>&1 | tee -i -- {log:q}"


# The probe reel is in the folder of the other reels.
ruleorder: render_probe_reel > render_reel


rule render_probe_reel:
    input:
        cues="<results>/excitations/{excitation}/cues.parquet",
        excitation="<results>/excitations/{excitation}/excitation.json",
    output:
        reel="<results>/excitations/{excitation}/reels/{excitation}-probe.wav",
        probe="<results>/excitations/{excitation}/probe.json",
        record="<results>/excitations/{excitation}/reels/{excitation}-probe.wav.prov.json",
    log:
        "<logs>/render_probe_reel/{excitation}.log",
    benchmark:
        "<benchmarks>/render_probe_reel/{excitation}.tsv"
    wildcard_constraints:
        excitation=ACTIVE_REELS,
    params:
        code=lambda wildcards: RECORDED.param(
            wildcards.excitation,
            f"reels/{wildcards.excitation}-probe.wav",
            "code",
            code("render_probe_reel.py"),
        ),
        # Params that depend on the output trigger no rerun: these paths change no reel.
        root=lambda wildcards, output: CONFIG.corpus.root,
        devices=lambda wildcards, output: RESULTS / "devices",
    shell:
        "stage render_probe_reel --name {wildcards.excitation} --root {params.root:q} --cues {input.cues:q}"
        " --excitation {input.excitation:q} --devices {params.devices:q} --reel {output.reel:q} --probe {output.probe:q}"
        " 2>&1 | tee -i -- {log:q}"


rule write_recording_guide:
    input:
        excitation="<results>/excitations/{excitation}/excitation.json",
        probe=lambda wildcards: (
            f"<results>/excitations/{wildcards.excitation}/probe.json" if CONFIG.probe(wildcards.excitation) else []
        ),
    output:
        guide=report(
            "<results>/excitations/{excitation}/recording.md",
            caption="../report/recording.rst",
            category="Excitation",
            labels={"excitation": "{excitation}", "format": "text"},
        ),
        page=report(
            "<results>/excitations/{excitation}/recording.html",
            caption="../report/recording.rst",
            category="Excitation",
            labels={"excitation": "{excitation}", "format": "page"},
        ),
        record="<results>/excitations/{excitation}/recording.md.prov.json",
    log:
        "<logs>/write_recording_guide/{excitation}.log",
    benchmark:
        "<benchmarks>/write_recording_guide/{excitation}.tsv"
    localrule: True
    params:
        takes=lambda wildcards: json.dumps(CONFIG.take_patterns(wildcards.excitation)),
        code=code("write_recording_guide.py"),
    shell:
        "stage write_recording_guide --name {wildcards.excitation} --excitation {input.excitation:q} --probe {input.probe:q} --takes {params.takes:q}"
        " --guide {output.guide:q} --page {output.page:q} 2>&1 | tee -i -- {log:q}"


# This rule only reads reels, so it also runs for recorded excitations.
rule fingerprint_reels:
    input:
        cues="<results>/excitations/{excitation}/cues.parquet",
        reels=lambda wildcards: expand(
            "<results>/excitations/{excitation}/reels/{reel}.wav",
            excitation=wildcards.excitation,
            reel=CONFIG.reels(wildcards.excitation),
        ),
    output:
        fingerprints="<results>/excitations/{excitation}/fingerprints.parquet",
        record="<results>/excitations/{excitation}/fingerprints.parquet.prov.json",
    log:
        "<logs>/fingerprint_reels/{excitation}.log",
    benchmark:
        "<benchmarks>/fingerprint_reels/{excitation}.tsv"
    params:
        code=code("fingerprint_reels.py"),
    shell:
        "stage fingerprint_reels --name {wildcards.excitation} --cues {input.cues:q} --reels {input.reels:q}"
        " --fingerprints {output.fingerprints:q} 2>&1 | tee -i -- {log:q}"


# The record of each job is a target. A job whose record lists a missing output runs again.
EXCITATION_FILES = [
    path
    for name in CONFIG.excitations
    for path in (
        rules.index_corpus.output.record,
        *expand(
            [
                rules.plan_excitation.output.record,
                rules.write_recording_guide.output.record,
                rules.fingerprint_reels.output.record,
            ],
            excitation=name,
        ),
        *expand(rules.render_reel.output.record, excitation=name, reel=CONFIG.reels(name)),
        *(expand(rules.render_probe_reel.output.record, excitation=name) if CONFIG.probe(name) else []),
    )
]
