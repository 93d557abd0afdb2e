# Searches for the best network and recipe. All workers of a search share one study. The study is not an output of a rule,
# because Snakemake deletes outputs before it runs a job, and a stopped search continues from its study.


rule run_search_worker:
    input:
        unpack(get_search_dataset),
    output:
        done="<results>/searches/{search}/worker-{worker}.json",
        record="<results>/searches/{search}/worker-{worker}.json.prov.json",
    log:
        "<logs>/run_search_worker/{search}/{worker}.log",
    benchmark:
        "<benchmarks>/run_search_worker/{search}/{worker}.tsv"
    threads: 1
    resources:
        gpu=TRAINING_GPUS,
    params:
        search=lambda wildcards: CONFIG.search_params(wildcards.search)["settings"],
        network=lambda wildcards: CONFIG.search_params(wildcards.search)["network"],
        training=lambda wildcards: CONFIG.search_params(wildcards.search)["training"],
        kernels=CONFIG.kernels,
        code=code("run_search_worker.py"),
        # Params that depend on the output trigger no rerun: the MLflow store changes no search.
        tracking=lambda wildcards, output: TRACKING,
        results=lambda wildcards, output: RESULTS,
    shell:
        "stage run_search_worker --search {wildcards.search} --worker {wildcards.worker} --settings {params.search:q}"
        " --network {params.network:q} --training {params.training:q} --tracking {params.tracking:q}"
        " --segments {input.segments:q} --dataset {input.dataset:q} --leaks {input.leaks:q} --shards {input.shards:q}"
        " --results {params.results:q} --done {output.done:q} 2>&1 | tee -i -- {log:q}"


rule select_best_model:
    input:
        workers=get_search_workers,
    output:
        best="<results>/searches/{search}/best.yaml",
        trials="<results>/searches/{search}/trials.parquet",
        table=report(
            "<results>/searches/{search}/trials.txt",
            caption="../report/search.rst",
            category="Searches",
            labels={"search": "{search}"},
        ),
        record="<results>/searches/{search}/best.yaml.prov.json",
    log:
        "<logs>/select_best_model/{search}.log",
    benchmark:
        "<benchmarks>/select_best_model/{search}.tsv"
    params:
        search=lambda wildcards: CONFIG.search_params(wildcards.search)["settings"],
        network=lambda wildcards: CONFIG.search_params(wildcards.search)["network"],
        training=lambda wildcards: CONFIG.search_params(wildcards.search)["training"],
        code=code("select_best_model.py"),
    shell:
        "stage select_best_model --search {wildcards.search} --settings {params.search:q} --network {params.network:q}"
        " --training {params.training:q} --workers {input.workers:q} --best {output.best:q}"
        " --trials {output.trials:q} --table {output.table:q} 2>&1 | tee -i -- {log:q}"


SEARCH_FILES = [
    path
    for name in SEARCHES
    for path in (
        *expand(rules.run_search_worker.output.record, search=name, worker=range(CONFIG.search[name].workers)),
        *expand(rules.select_best_model.output.record, search=name),
    )
]
