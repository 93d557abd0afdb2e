# What is played: a cue sheet, the reels rendered from it, and what a person has to do with them.


rule plan:
    input:
        unpack(plan_inputs),
    output:
        cues="<results>/excitations/{excitation}/cues.parquet",
        excitation="<results>/excitations/{excitation}/excitation.json",
        record="<results>/excitations/{excitation}/cues.parquet.prov.json",
    log:
        "<logs>/plan/{excitation}.log",
    benchmark:
        "<benchmarks>/plan/{excitation}.tsv"
    wildcard_constraints:
        excitation=LIVE_PLAN,
    params:
        settings=lambda wildcards: frozen_or(
            wildcards.excitation, "cues.parquet", "settings", planned(CONFIG.excitations[wildcards.excitation])
        ),
        corpus=lambda wildcards: frozen_or(wildcards.excitation, "cues.parquet", "corpus", settings(CONFIG.corpus)),
        code=lambda wildcards: frozen_or(wildcards.excitation, "cues.parquet", "code", code("plan.py")),
    shell:
        "stage plan --name {wildcards.excitation} --settings {params.settings:q}"
        " --corpus {params.corpus:q} --tracks {input.tracks:q} --cues {output.cues:q} --excitation {output.excitation:q}"
        " 2>&1 | tee -i {log:q}"


rule render:
    input:
        cues="<results>/excitations/{excitation}/cues.parquet",
        excitation="<results>/excitations/{excitation}/excitation.json",
    output:
        reel="<results>/excitations/{excitation}/reels/{reel}.wav",
        record="<results>/excitations/{excitation}/reels/{reel}.wav.prov.json",
    log:
        "<logs>/render/{excitation}/{reel}.log",
    benchmark:
        "<benchmarks>/render/{excitation}/{reel}.tsv"
    wildcard_constraints:
        excitation=LIVE_EXCITATION,
    params:
        code=lambda wildcards: frozen_or(
            wildcards.excitation,
            f"reels/{wildcards.reel}.wav",
            "code",
            code("render.py"),
        ),
        # These depend on the output, so they do not count for reruns: where things are changes no reel.
        root=lambda wildcards, output: CONFIG.corpus.root,
        devices=lambda wildcards, output: RESULTS / "devices",
    shell:
        "stage render --name {wildcards.reel} --root {params.root:q} --cues {input.cues:q}"
        " --excitation {input.excitation:q} --devices {params.devices:q} --reel {output.reel:q} 2>&1 | tee -i {log:q}"


# A probe reel has the name of no other reel, though it lies among them.
ruleorder: probe > render


rule probe:
    input:
        cues="<results>/excitations/{excitation}/cues.parquet",
        excitation="<results>/excitations/{excitation}/excitation.json",
    output:
        reel="<results>/excitations/{excitation}/reels/{excitation}-probe.wav",
        probe="<results>/excitations/{excitation}/probe.json",
        record="<results>/excitations/{excitation}/reels/{excitation}-probe.wav.prov.json",
    log:
        "<logs>/probe/{excitation}.log",
    benchmark:
        "<benchmarks>/probe/{excitation}.tsv"
    wildcard_constraints:
        excitation=LIVE_EXCITATION,
    params:
        code=lambda wildcards: frozen_or(
            wildcards.excitation,
            f"reels/{wildcards.excitation}-probe.wav",
            "code",
            code("probe.py"),
        ),
        # These depend on the output, so they do not count for reruns: where things are changes no reel.
        root=lambda wildcards, output: CONFIG.corpus.root,
        devices=lambda wildcards, output: RESULTS / "devices",
    shell:
        "stage probe --name {wildcards.excitation} --root {params.root:q} --cues {input.cues:q}"
        " --excitation {input.excitation:q} --devices {params.devices:q} --reel {output.reel:q} --probe {output.probe:q}"
        " 2>&1 | tee -i {log:q}"


rule guide:
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
            labels={"excitation": "{excitation}"},
        ),
        record="<results>/excitations/{excitation}/recording.md.prov.json",
    log:
        "<logs>/guide/{excitation}.log",
    benchmark:
        "<benchmarks>/guide/{excitation}.tsv"
    localrule: True
    params:
        takes=takes_of,
        code=code("guide.py"),
    shell:
        "stage guide --name {wildcards.excitation} --excitation {input.excitation:q} --probe {input.probe:q} --takes {params.takes:q}"
        " --guide {output.guide:q} 2>&1 | tee -i {log:q}"


# It only reads the reels, so it may be made anew for an excitation that has been recorded.
rule fingerprint:
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
        "<logs>/fingerprint/{excitation}.log",
    benchmark:
        "<benchmarks>/fingerprint/{excitation}.tsv"
    params:
        code=code("fingerprint.py"),
    shell:
        "stage fingerprint --name {wildcards.excitation} --cues {input.cues:q} --reels {input.reels:q}"
        " --fingerprints {output.fingerprints:q} 2>&1 | tee -i {log:q}"


# Every output of every rule is a target: whatever is deleted is made again.
EXCITATION_FILES = [
    path
    for name in CONFIG.excitations
    for path in (
        *rules.index.output,
        *expand([*rules.plan.output, *rules.guide.output, *rules.fingerprint.output], excitation=name),
        *expand(rules.render.output, excitation=name, reel=CONFIG.reels(name)),
        *(expand(rules.probe.output, excitation=name) if CONFIG.probe(name) else []),
    )
]
