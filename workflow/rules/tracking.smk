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
        experiments=lambda wildcards, output: sorted(
            {twin.device for twin in TWINS} | {search.device for search in CONFIG.search.values()}
        ),
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
        told=[rules.evaluate.output.told, rules.evaluate.output.linear],
        pages=[rules.page.output.index, rules.page.output.listening],
        measured=lambda wildcards: expand(
            (
                rules.measure_twin.output.figures
                + [rules.measure_twin.output.measurements]
                + rules.excerpt.output.clips
                + [rules.excerpt.output.told]
                if probes(wildcards.device)
                else []
            ),
            device=wildcards.device,
            model=wildcards.model,
        ),
        segments="<results>/devices/{device}/segments.parquet",
        dataset="<results>/devices/{device}/dataset.json",
        best=best_of,
        store=store_of_run,
        records=records_of,
    output:
        run="<results>/twins/{device}/{model}/run.json",
        record="<results>/twins/{device}/{model}/run.json.prov.json",
    log:
        "<logs>/track/{device}/{model}.log",
    benchmark:
        "<benchmarks>/track/{device}/{model}.tsv"
    params:
        tracking=TRACKING,
        code=code("track.py"),
        # Depends on the output, so it does not count for reruns.
        results=lambda wildcards, output: RESULTS,
    shell:
        "stage track --device {wildcards.device} --model {wildcards.model} --tracking {params.tracking:q}"
        " --results {params.results:q} --run {output.run:q} 2>&1 | tee -i {log:q}"


rule track_search:
    input:
        workers=workers_of,
        trials="<results>/searches/{search}/trials.parquet",
        best="<results>/searches/{search}/best.yaml",
        table="<results>/searches/{search}/trials.txt",
        store=store_of_search,
    output:
        run="<results>/searches/{search}/run.json",
        record="<results>/searches/{search}/run.json.prov.json",
    log:
        "<logs>/track_search/{search}.log",
    benchmark:
        "<benchmarks>/track_search/{search}.tsv"
    params:
        settings=lambda wildcards: searched(wildcards)["settings"],
        tracking=TRACKING,
        code=code("track_search.py"),
        # Depends on the output, so it does not count for reruns.
        results=lambda wildcards, output: RESULTS,
    shell:
        "stage track_search --search {wildcards.search} --settings {params.settings:q}"
        " --tracking {params.tracking:q} --workers {input.workers:q} --trials {input.trials:q}"
        " --files {input.best:q} {input.table:q} --results {params.results:q} --run {output.run:q} 2>&1 | tee -i {log:q}"


if CONFIG.tracking.enabled:
    REPORT_FILES += expand(rules.track_search.output, search=SEARCHES)
    REPORT_FILES += [
        path for twin in READY_TWINS for path in expand(rules.track.output, device=twin.device, model=twin.model)
    ]
