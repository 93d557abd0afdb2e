# What is played: a cue sheet, the reels rendered from it, and what a person has to do with them.


def plan_inputs(wildcards):
    """The index and the exclusions; neither moves an excitation that has been recorded."""
    inputs = ["<results>/corpus/tracks.parquet", *filter(None, [CONFIG.corpus.exclude])]
    return [ancient(str(path)) for path in inputs] if wildcards.excitation in FROZEN else inputs


rule plan:
    input:
        plan_inputs,
    output:
        cues="<results>/excitations/{excitation}/cues.parquet",
        excitation="<results>/excitations/{excitation}/excitation.json",
        record="<results>/excitations/{excitation}/cues.parquet.prov.json",
    log:
        "<logs>/plan/{excitation}.log",
    benchmark:
        "<benchmarks>/plan/{excitation}.tsv"
    params:
        settings=lambda wildcards: frozen_or(
            wildcards.excitation, "cues.parquet", "settings", settings(CONFIG.excitations[wildcards.excitation])
        ),
        corpus=lambda wildcards: frozen_or(wildcards.excitation, "cues.parquet", "corpus", settings(CONFIG.corpus)),
        code=lambda wildcards: frozen_or(wildcards.excitation, "cues.parquet", "code", code("plan.py")),
    shell:
        "python {SCRIPTS}/plan.py --name {wildcards.excitation} --settings {params.settings:q}"
        " --corpus {params.corpus:q} --tracks {input[0]} --cues {output.cues} --excitation {output.excitation}"
        " 2>&1 | tee {log}"


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
    params:
        code=lambda wildcards: frozen_or(
            wildcards.excitation,
            f"reels/{wildcards.reel}.wav",
            "code",
            code("render.py"),
        ),
    shell:
        "python {SCRIPTS}/render.py --name {wildcards.reel} --root {CONFIG.corpus.root:q} --cues {input.cues}"
        " --excitation {input.excitation} --devices {RESULTS}/devices --reel {output.reel} 2>&1 | tee {log}"


def takes_of(wildcards):
    """Where each device wants its takes of this excitation, as JSON."""
    return json.dumps(
        {
            name: device.takes
            for name, device in CONFIG.devices.items()
            if device.takes and device.excitation == wildcards.excitation
        }
    )


rule guide:
    input:
        "<results>/excitations/{excitation}/excitation.json",
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
        "python {SCRIPTS}/guide.py --name {wildcards.excitation} --excitation {input} --takes {params.takes:q}"
        " --guide {output.guide} 2>&1 | tee {log}"


# Every output of every rule is a target: whatever is deleted is made again.
EXCITATION_FILES = [
    path
    for name in CONFIG.excitations
    for path in (
        *rules.index.output,
        *expand([*rules.plan.output, *rules.guide.output], excitation=name),
        *expand(rules.render.output, excitation=name, reel=CONFIG.reels(name)),
    )
]
