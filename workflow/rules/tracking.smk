# Runs in MLflow. One rule makes the store before anything is logged: parallel jobs on a new database break it.
# The experiments are no parameter of it: a new device's is added when it is first logged to.


rule store:
    output:
        STORE,
    log:
        "<logs>/store.log",
    benchmark:
        "<benchmarks>/store.tsv"
    localrule: True
    params:
        tracking=TRACKING,
        # These depend on the output, so they do not count for reruns.
        results=lambda wildcards, output: RESULTS,
        experiments=lambda wildcards, output: sorted({twin.device for twin in TWINS}),
    shell:
        "stage store --results {params.results:q} --tracking {params.tracking:q}"
        " --experiments {params.experiments} --store {output:q} 2>&1 | tee -i {log:q}"


rule track:
    input:
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        exports=rules.export.output.files,
        curve="<results>/twins/{device}/{model}/training.parquet",
        metrics="<results>/twins/{device}/{model}/evaluation/metrics.json",
        figures=rules.evaluate.output.figures,
        clips=rules.evaluate.output.clips,
        segments="<results>/devices/{device}/segments.parquet",
        dataset="<results>/devices/{device}/dataset.json",
        store=ancient(STORE),
    output:
        run="<results>/twins/{device}/{model}/run.json",
        record="<results>/twins/{device}/{model}/run.json.prov.json",
    log:
        "<logs>/track/{device}/{model}.log",
    benchmark:
        "<benchmarks>/track/{device}/{model}.tsv"
    params:
        network=lambda wildcards: settings(CONFIG.models[wildcards.model]),
        settings=lambda wildcards: settings(training(wildcards)),
        tracking=TRACKING,
        code=code("track.py"),
    shell:
        "stage track --device {wildcards.device} --model {wildcards.model}"
        " --network {params.network:q} --settings {params.settings:q} --tracking {params.tracking:q}"
        " --twin {input.twin:q} --exports {input.exports:q} --curve {input.curve:q}"
        " --metrics {input.metrics:q} --files {input.figures:q} {input.clips:q}"
        " --segments {input.segments:q} --dataset {input.dataset:q} --store {input.store:q} --run {output.run:q}"
        " 2>&1 | tee -i {log:q}"


if CONFIG.tracking.enabled:
    REPORT_FILES += [
        path
        for twin in TWINS
        if twin.device in READY
        for path in expand(rules.track.output, device=twin.device, model=twin.model)
    ]
