# How good the twins are, in figures, sounds, one table and one page.

FIGURES = ["esr", "esr_over_time", "waveform", "spectrum", "transfer", "learning"]
CLIPS = ["dry", "wet", "twin", "linear", "difference"]


rule measure:
    input:
        dry=dry_of,
        wet=wet_of,
        alignment="<results>/devices/{device}/{capture}/alignment.json",
        probe=excitation_of,
    output:
        measurements="<results>/devices/{device}/{capture}/measurements.json",
        record="<results>/devices/{device}/{capture}/measurements.json.prov.json",
    log:
        "<logs>/measure/{device}/{capture}.log",
    benchmark:
        "<benchmarks>/measure/{device}/{capture}.tsv"
    params:
        channel=wet_channel,
        withdrawn=withdrawn_of,
        code=code("measure.py"),
    shell:
        "stage measure --device {wildcards.device} --channel {params.channel} --withdrawn {params.withdrawn:q}"
        " --dry {input.dry:q} --wet {input.wet:q}"
        " --alignment {input.alignment:q} --probe {input.probe:q} --measurements {output.measurements:q} 2>&1 | tee -i {log:q}"


rule measure_twin:
    input:
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        reel=lambda wildcards: probe_file(wildcards, "reels/{probe}.wav"),
        probe=lambda wildcards: probe_file(wildcards, "probe.json"),
        measured=lambda wildcards: probe_capture(wildcards, "measurements.json"),
    output:
        measurements="<results>/twins/{device}/{model}/evaluation/measurements.json",
        figures=report(
            expand(
                "<results>/twins/{{device}}/{{model}}/evaluation/probe/{figure}.svg",
                figure=PROBE_FIGURES,
            ),
            caption="../report/probe.rst",
            category="Harmonics",
            labels={"device": "{device}", "model": "{model}"},
        ),
        record="<results>/twins/{device}/{model}/evaluation/measurements.json.prov.json",
    log:
        "<logs>/measure_twin/{device}/{model}.log",
    benchmark:
        "<benchmarks>/measure_twin/{device}/{model}.tsv"
    params:
        code=code("measure_twin.py"),
    shell:
        "stage measure_twin --device {wildcards.device} --model {wildcards.model} --twin {input.twin:q}"
        " --reel {input.reel:q} --probe {input.probe:q} --measured {input.measured:q}"
        " --outputs {output.measurements:q} {output.figures:q} 2>&1 | tee -i {log:q}"


rule evaluate:
    input:
        measurements=lambda wildcards: (
            [f"<results>/twins/{wildcards.device}/{wildcards.model}/evaluation/measurements.json"]
            if probes(wildcards.device)
            else []
        ),
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
        told="<results>/twins/{device}/{model}/evaluation/listening/clips.json",
        linear="<results>/twins/{device}/{model}/evaluation/linear.json",
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
        " --dataset {input.dataset:q} --measurements {input.measurements:q} --shards {input.shards:q}"
        " --outputs {output.metrics:q} {output.figures:q} {output.clips:q} {output.told:q} {output.linear:q}"
        " 2>&1 | tee -i {log:q}"


rule excerpt:
    input:
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        linear=rules.evaluate.output.linear,
        reel=lambda wildcards: probe_file(wildcards, "reels/{probe}.wav"),
        take=lambda wildcards: probe_capture(wildcards, "take"),
        alignment=lambda wildcards: probe_capture(wildcards, "alignment.json"),
        probe=lambda wildcards: probe_file(wildcards, "probe.json"),
    output:
        told="<results>/twins/{device}/{model}/evaluation/listening/music.json",
        clips=expand(
            "<results>/twins/{{device}}/{{model}}/evaluation/listening/music-{clip}.flac",
            clip=CLIPS,
        ),
        record="<results>/twins/{device}/{model}/evaluation/listening/music.json.prov.json",
    log:
        "<logs>/excerpt/{device}/{model}.log",
    benchmark:
        "<benchmarks>/excerpt/{device}/{model}.tsv"
    params:
        channel=lambda wildcards: CONFIG.devices[wildcards.device].channel,
        withdrawn=withdrawn_of,
        code=code("excerpt.py"),
    shell:
        "stage excerpt --device {wildcards.device} --model {wildcards.model} --channel {params.channel}"
        " --withdrawn {params.withdrawn:q} --twin {input.twin:q} --linear {input.linear:q} --reel {input.reel:q}"
        " --take {input.take:q} --alignment {input.alignment:q} --probe {input.probe:q}"
        " --outputs {output.told:q} {output.clips:q} 2>&1 | tee -i {log:q}"


rule page:
    input:
        metrics="<results>/twins/{device}/{model}/evaluation/metrics.json",
        figures=rules.evaluate.output.figures,
        measured=lambda wildcards: expand(
            "<results>/twins/{device}/{model}/evaluation/probe/{figure}.svg",
            device=wildcards.device,
            model=wildcards.model,
            figure=PROBE_FIGURES if probes(wildcards.device) else [],
        ),
        clips=rules.evaluate.output.clips,
        music=lambda wildcards: expand(
            rules.excerpt.output.clips if probes(wildcards.device) else [],
            device=wildcards.device,
            model=wildcards.model,
        ),
    output:
        index=report(
            "<results>/twins/{device}/{model}/evaluation/index.html",
            caption="../report/page.rst",
            category="Twins",
            labels={"device": "{device}", "model": "{model}"},
        ),
        listening="<results>/twins/{device}/{model}/evaluation/listening.html",
        record="<results>/twins/{device}/{model}/evaluation/index.html.prov.json",
    log:
        "<logs>/page/{device}/{model}.log",
    benchmark:
        "<benchmarks>/page/{device}/{model}.tsv"
    params:
        code=code("page.py"),
    shell:
        "stage page --metrics {input.metrics:q} --figures {input.figures:q} {input.measured:q} --clips {input.clips:q}"
        " --music {input.music:q}"
        " --outputs {output.index:q} {output.listening:q} 2>&1 | tee -i {log:q}"


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
    path
    for twin in READY_TWINS
    for path in expand(
        [
            *rules.evaluate.output,
            *rules.page.output,
            *((*rules.measure_twin.output, *rules.excerpt.output) if probes(twin.device) else []),
        ],
        device=twin.device,
        model=twin.model,
    )
]
CAPTURE_FILES += [
    path for name in CONFIG.devices for path in expand(rules.measure.output, device=name, capture=probes(name))
]
if REPORT_FILES:
    REPORT_FILES += [*rules.summary.output, *rules.comparison.output]
