# Runs in MLflow. The first job to log creates the database if it is missing.


rule log_run:
    input:
        records=get_run_records,
    output:
        run="<results>/twins/{device}/{model}/run.json",
        record="<results>/twins/{device}/{model}/run.json.prov.json",
    log:
        "<logs>/log_run/{device}/{model}.log",
    benchmark:
        "<benchmarks>/log_run/{device}/{model}.tsv"
    priority: -1
    params:
        tracking=TRACKING,
        code=code("log_run.py"),
        # Params that depend on the output trigger no rerun.
        results=lambda wildcards, output: RESULTS,
    shell:
        "stage log_run --device {wildcards.device} --model {wildcards.model} --tracking {params.tracking:q}"
        " --results {params.results:q} --records {input.records:q} --run {output.run:q} 2>&1 | tee -i -- {log:q}"


rule log_search:
    input:
        workers=get_search_workers,
        trials="<results>/searches/{search}/trials.parquet",
        best="<results>/searches/{search}/best.yaml",
        table="<results>/searches/{search}/trials.txt",
    output:
        run="<results>/searches/{search}/run.json",
        record="<results>/searches/{search}/run.json.prov.json",
    log:
        "<logs>/log_search/{search}.log",
    benchmark:
        "<benchmarks>/log_search/{search}.tsv"
    priority: -1
    params:
        settings=lambda wildcards: CONFIG.search_params(wildcards.search)["settings"],
        tracking=TRACKING,
        code=code("log_search.py"),
        # Params that depend on the output trigger no rerun.
        results=lambda wildcards, output: RESULTS,
    shell:
        "stage log_search --search {wildcards.search} --settings {params.settings:q}"
        " --tracking {params.tracking:q} --workers {input.workers:q} --trials {input.trials:q}"
        " --files {input.best:q} {input.table:q} --results {params.results:q} --run {output.run:q} 2>&1 | tee -i -- {log:q}"


if CONFIG.tracking.enabled:
    REPORT_FILES += expand(rules.log_search.output.record, search=SEARCHES)
    REPORT_FILES += [
        path
        for twin in READY_TWINS
        for path in expand(rules.log_run.output.record, device=twin.device, model=twin.model)
    ]
