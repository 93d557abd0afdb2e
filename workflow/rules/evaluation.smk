# How good the twins are, in figures, sounds, one table and one page.

FIGURES = ["esr", "esr_over_time", "waveform", "spectrum", "transfer", "learning"]
CLIPS = ["dry", "wet", "twin", "difference"]


rule evaluate:
    input:
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        curve="<results>/twins/{device}/{model}/training.parquet",
        segments="<results>/devices/{device}/segments.parquet",
        dataset="<results>/devices/{device}/dataset.json",
        shards=lambda wildcards: expand(
            "<results>/devices/{device}/shards/{capture}.arrow",
            device=wildcards.device,
            capture=captures(wildcards.device),
        ),
    output:
        metrics="<results>/twins/{device}/{model}/evaluation/metrics.json",
        figures=report(
            expand(
                "<results>/twins/{{device}}/{{model}}/evaluation/figures/{figure}.svg",
                figure=FIGURES,
            ),
            caption="../report/evaluation.rst",
            category="Twins",
            labels={"device": "{device}", "model": "{model}"},
        ),
        clips=expand(
            "<results>/twins/{{device}}/{{model}}/evaluation/listening/{clip}.flac",
            clip=CLIPS,
        ),
        record="<results>/twins/{device}/{model}/evaluation/metrics.json.prov.json",
    log:
        "<logs>/evaluate/{device}/{model}.log",
    benchmark:
        "<benchmarks>/evaluate/{device}/{model}.tsv"
    threads: 1
    params:
        settings=settings(CONFIG.evaluation),
        code=code("evaluate.py"),
    shell:
        "stage evaluate --device {wildcards.device} --model {wildcards.model}"
        " --settings {params.settings:q} --twin {input.twin:q} --curve {input.curve:q} --segments {input.segments:q}"
        " --dataset {input.dataset:q} --shards {input.shards:q}"
        " --outputs {output.metrics:q} {output.figures:q} {output.clips:q} 2>&1 | tee -i {log:q}"


rule summary:
    input:
        [f"<results>/twins/{twin.device}/{twin.model}/evaluation/metrics.json" for twin in READY_TWINS],
    output:
        summary=report(
            "<results>/summary.txt",
            caption="../report/summary.rst",
            category="Summary",
        ),
        record="<results>/summary.txt.prov.json",
    log:
        "<logs>/summary.log",
    benchmark:
        "<benchmarks>/summary.tsv"
    localrule: True
    params:
        code=code("summary.py"),
    shell:
        "stage summary --metrics {input:q} --summary {output.summary:q} > {log:q} 2>&1"


rule comparison:
    input:
        rules.summary.input,
    output:
        comparison=report(
            "<results>/comparison.html",
            caption="../report/comparison.rst",
            category="Summary",
        ),
        record="<results>/comparison.html.prov.json",
    log:
        "<logs>/comparison.log",
    benchmark:
        "<benchmarks>/comparison.tsv"
    localrule: True
    params:
        code=code("comparison.py"),
    shell:
        "stage comparison --metrics {input:q} --comparison {output.comparison:q} > {log:q} 2>&1"


REPORT_FILES = [
    path for twin in READY_TWINS for path in expand(rules.evaluate.output, device=twin.device, model=twin.model)
]
if REPORT_FILES:
    REPORT_FILES += [*rules.summary.output, *rules.comparison.output]
