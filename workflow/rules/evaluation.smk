# Measurements, errors, listening clips and pages of the twins.

FIGURES = ["esr", "esr_over_time", "waveform", "spectrum", "transfer", "learning"]
CLIPS = ["dry", "wet", "twin", "linear", "difference"]


rule measure_device:
    input:
        dry=get_dry,
        wet=get_wet,
        alignment="<results>/devices/{device}/{capture}/alignment.json",
        probe=get_reel_layout,
    output:
        measurements="<results>/devices/{device}/{capture}/measurements.json",
        record="<results>/devices/{device}/{capture}/measurements.json.prov.json",
    log:
        "<logs>/measure_device/{device}/{capture}.log",
    benchmark:
        "<benchmarks>/measure_device/{device}/{capture}.tsv"
    params:
        channel=lambda wildcards: get_capture(wildcards).channel,
        withdrawn=get_excluded_tracks,
        code=code("measure_device.py"),
    shell:
        "stage measure_device --device {wildcards.device} --channel {params.channel} --withdrawn {params.withdrawn:q}"
        " --dry {input.dry:q} --wet {input.wet:q}"
        " --alignment {input.alignment:q} --probe {input.probe:q} --measurements {output.measurements:q} 2>&1 | tee -i -- {log:q}"


rule measure_twin:
    input:
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        reel=lambda wildcards: get_probe_file(wildcards, "reels/{probe}.wav"),
        probe=lambda wildcards: get_probe_file(wildcards, "probe.json"),
        measured=lambda wildcards: get_probe_capture_file(wildcards, "measurements.json"),
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
        kernels=CONFIG.kernels,
        code=code("measure_twin.py"),
    shell:
        "stage measure_twin --device {wildcards.device} --model {wildcards.model} --twin {input.twin:q}"
        " --reel {input.reel:q} --probe {input.probe:q} --measured {input.measured:q}"
        " --outputs {output.measurements:q} {output.figures:q} 2>&1 | tee -i -- {log:q}"


rule evaluate_twin:
    input:
        measurements=lambda wildcards: (
            [f"<results>/twins/{wildcards.device}/{wildcards.model}/evaluation/measurements.json"]
            if CAPTURES[wildcards.device].probes
            else []
        ),
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        curve="<results>/twins/{device}/{model}/training.parquet",
        segments="<results>/devices/{device}/segments.parquet",
        dataset="<results>/devices/{device}/dataset.json",
        shards=get_shards,
        # The list of takes with verdicts includes the probe take.
        probe_take=lambda wildcards: get_probe_capture_file(wildcards, "take.json"),
        probe_alignment=lambda wildcards: get_probe_capture_file(wildcards, "alignment.json"),
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
        gains="<results>/twins/{device}/{model}/evaluation/listening/clips.json",
        linear="<results>/twins/{device}/{model}/evaluation/linear.json",
        verdict="<results>/twins/{device}/{model}/evaluation/verdict.json",
        record="<results>/twins/{device}/{model}/evaluation/metrics.json.prov.json",
    log:
        "<logs>/evaluate_twin/{device}/{model}.log",
    benchmark:
        "<benchmarks>/evaluate_twin/{device}/{model}.tsv"
    threads: 1
    params:
        settings=CONFIG.evaluation.model_dump_json(),
        kernels=CONFIG.kernels,
        code=code("evaluate_twin.py"),
    shell:
        "stage evaluate_twin --device {wildcards.device} --model {wildcards.model}"
        " --settings {params.settings:q} --twin {input.twin:q} --curve {input.curve:q} --segments {input.segments:q}"
        " --dataset {input.dataset:q} --measurements {input.measurements:q} --shards {input.shards:q}"
        " --probe-take {input.probe_take:q} --probe-alignment {input.probe_alignment:q}"
        " --outputs {output.metrics:q} {output.figures:q} {output.clips:q} {output.gains:q} {output.linear:q} {output.verdict:q}"
        " 2>&1 | tee -i -- {log:q}"


rule render_probe_music:
    input:
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        linear=rules.evaluate_twin.output.linear,
        reel=lambda wildcards: get_probe_file(wildcards, "reels/{probe}.wav"),
        take=lambda wildcards: get_probe_capture_file(wildcards, "take"),
        alignment=lambda wildcards: get_probe_capture_file(wildcards, "alignment.json"),
        probe=lambda wildcards: get_probe_file(wildcards, "probe.json"),
    output:
        music="<results>/twins/{device}/{model}/evaluation/listening/music.json",
        clips=expand(
            "<results>/twins/{{device}}/{{model}}/evaluation/listening/music-{clip}.flac",
            clip=CLIPS,
        ),
        record="<results>/twins/{device}/{model}/evaluation/listening/music.json.prov.json",
    log:
        "<logs>/render_probe_music/{device}/{model}.log",
    benchmark:
        "<benchmarks>/render_probe_music/{device}/{model}.tsv"
    params:
        channel=lambda wildcards: CONFIG.devices[wildcards.device].channel,
        withdrawn=get_excluded_tracks,
        kernels=CONFIG.kernels,
        code=code("render_probe_music.py"),
    shell:
        "stage render_probe_music --device {wildcards.device} --model {wildcards.model} --channel {params.channel}"
        " --withdrawn {params.withdrawn:q} --twin {input.twin:q} --linear {input.linear:q} --reel {input.reel:q}"
        " --take {input.take:q} --alignment {input.alignment:q} --probe {input.probe:q}"
        " --outputs {output.music:q} {output.clips:q} 2>&1 | tee -i -- {log:q}"


rule build_twin_page:
    input:
        metrics="<results>/twins/{device}/{model}/evaluation/metrics.json",
        card="<results>/devices/{device}/device_card.json",
        dataset="<results>/devices/{device}/dataset.json",
        trained="<results>/twins/{device}/{model}/twin.safetensors.prov.json",
        figures=rules.evaluate_twin.output.figures,
        measured=lambda wildcards: expand(
            "<results>/twins/{device}/{model}/evaluation/probe/{figure}.svg",
            device=wildcards.device,
            model=wildcards.model,
            figure=PROBE_FIGURES if CAPTURES[wildcards.device].probes else [],
        ),
        clips=rules.evaluate_twin.output.clips,
        music=lambda wildcards: expand(
            rules.render_probe_music.output.clips if CAPTURES[wildcards.device].probes else [],
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
        "<logs>/build_twin_page/{device}/{model}.log",
    benchmark:
        "<benchmarks>/build_twin_page/{device}/{model}.tsv"
    params:
        knobs=lambda wildcards: json.dumps(CONFIG.devices[wildcards.device].settings, sort_keys=True),
        code=code("build_twin_page.py"),
    shell:
        "stage build_twin_page --knobs {params.knobs:q} --metrics {input.metrics:q} --card {input.card:q}"
        " --dataset {input.dataset:q} --trained {input.trained:q} --figures {input.figures:q} {input.measured:q} --clips {input.clips:q}"
        " --music {input.music:q}"
        " --outputs {output.index:q} {output.listening:q} 2>&1 | tee -i -- {log:q}"


rule build_summary:
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
        "<logs>/build_summary.log",
    benchmark:
        "<benchmarks>/build_summary.tsv"
    localrule: True
    params:
        code=code("build_summary.py"),
    shell:
        "stage build_summary --metrics {input:q} --summary {output.summary:q} > {log:q} 2>&1"


rule build_comparison:
    input:
        rules.build_summary.input,
    output:
        comparison=report(
            "<results>/comparison.html",
            caption="../report/comparison.rst",
            category="Summary",
        ),
        record="<results>/comparison.html.prov.json",
    log:
        "<logs>/build_comparison.log",
    benchmark:
        "<benchmarks>/build_comparison.tsv"
    localrule: True
    params:
        code=code("build_comparison.py"),
    shell:
        "stage build_comparison --metrics {input:q} --comparison {output.comparison:q} > {log:q} 2>&1"


REPORT_FILES = [
    path
    for twin in READY_TWINS
    for path in expand(
        [
            rules.evaluate_twin.output.record,
            rules.build_twin_page.output.record,
            *(
                (rules.measure_twin.output.record, rules.render_probe_music.output.record)
                if CAPTURES[twin.device].probes
                else []
            ),
        ],
        device=twin.device,
        model=twin.model,
    )
]
CAPTURE_FILES += [
    path
    for name in CONFIG.devices
    for path in expand(rules.measure_device.output.record, device=name, capture=CAPTURES[name].probes)
]
if REPORT_FILES:
    REPORT_FILES += [rules.build_summary.output.record, rules.build_comparison.output.record]
