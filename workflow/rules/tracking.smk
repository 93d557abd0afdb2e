# Runs in MLflow. One rule makes the store before anything is logged: parallel jobs on a new database break it.
# The experiments are no parameter of it: a new device's is added when it is first logged to.


rule create_store:
    output:
        STORE,
    log:
        "<logs>/create_store.log",
    benchmark:
        "<benchmarks>/create_store.tsv"
    localrule: True
    params:
        tracking=TRACKING,
        # These depend on the output, so they do not count for reruns.
        results=lambda wildcards, output: RESULTS,
        experiments=lambda wildcards, output: sorted(
            {twin.device for twin in TWINS} | {search.device for search in CONFIG.search.values()}
        ),
    shell:
        "stage create_store --results {params.results:q} --tracking {params.tracking:q}"
        " --experiments {params.experiments} --store {output:q} 2>&1 | tee -i {log:q}"


rule log_run:
    input:
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        exports=rules.export_twin.output.files,
        curve="<results>/twins/{device}/{model}/training.parquet",
        metrics="<results>/twins/{device}/{model}/evaluation/metrics.json",
        figures=rules.evaluate_twin.output.figures,
        clips=rules.evaluate_twin.output.clips,
        told=[rules.evaluate_twin.output.told, rules.evaluate_twin.output.linear],
        pages=[rules.build_twin_page.output.index, rules.build_twin_page.output.listening],
        measured=lambda wildcards: expand(
            (
                rules.measure_twin.output.figures
                + [rules.measure_twin.output.measurements]
                + rules.render_probe_music.output.clips
                + [rules.render_probe_music.output.told]
                if probes(wildcards.device)
                else []
            ),
            device=wildcards.device,
            model=wildcards.model,
        ),
        segments="<results>/devices/{device}/segments.parquet",
        dataset="<results>/devices/{device}/dataset.json",
        best=get_best_model,
        store=get_store_of_run,
        records=get_run_records,
    output:
        run="<results>/twins/{device}/{model}/run.json",
        record="<results>/twins/{device}/{model}/run.json.prov.json",
    log:
        "<logs>/log_run/{device}/{model}.log",
    benchmark:
        "<benchmarks>/log_run/{device}/{model}.tsv"
    params:
        tracking=TRACKING,
        code=code("log_run.py"),
        # Depends on the output, so it does not count for reruns.
        results=lambda wildcards, output: RESULTS,
    shell:
        "stage log_run --device {wildcards.device} --model {wildcards.model} --tracking {params.tracking:q}"
        " --results {params.results:q} --run {output.run:q} 2>&1 | tee -i {log:q}"


rule log_search:
    input:
        workers=get_search_workers,
        trials="<results>/searches/{search}/trials.parquet",
        best="<results>/searches/{search}/best.yaml",
        table="<results>/searches/{search}/trials.txt",
        store=get_store_of_search,
    output:
        run="<results>/searches/{search}/run.json",
        record="<results>/searches/{search}/run.json.prov.json",
    log:
        "<logs>/log_search/{search}.log",
    benchmark:
        "<benchmarks>/log_search/{search}.tsv"
    params:
        settings=lambda wildcards: get_search_params(wildcards)["settings"],
        tracking=TRACKING,
        code=code("log_search.py"),
        # Depends on the output, so it does not count for reruns.
        results=lambda wildcards, output: RESULTS,
    shell:
        "stage log_search --search {wildcards.search} --settings {params.settings:q}"
        " --tracking {params.tracking:q} --workers {input.workers:q} --trials {input.trials:q}"
        " --files {input.best:q} {input.table:q} --results {params.results:q} --run {output.run:q} 2>&1 | tee -i {log:q}"


if CONFIG.tracking.enabled:
    REPORT_FILES += expand(rules.log_search.output, search=SEARCHES)
    REPORT_FILES += [
        path for twin in READY_TWINS for path in expand(rules.log_run.output, device=twin.device, model=twin.model)
    ]
