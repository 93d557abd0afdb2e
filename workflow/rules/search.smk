# The best network and recipe for a device: any number of workers on one study, which none of them declares as its
# output, for Snakemake deletes outputs before a job that is to go on with them.


rule search_worker:
    input:
        unpack(searched_dataset),
        store=store_of_worker,
    output:
        done="<results>/searches/{search}/worker-{worker}.json",
        record="<results>/searches/{search}/worker-{worker}.json.prov.json",
    log:
        "<logs>/search_worker/{search}/{worker}.log",
    benchmark:
        "<benchmarks>/search_worker/{search}/{worker}.tsv"
    threads: 1
    resources:
        gpu=TRAINING_GPUS,
    params:
        search=lambda wildcards: searched(wildcards)["settings"],
        network=lambda wildcards: searched(wildcards)["network"],
        training=lambda wildcards: searched(wildcards)["training"],
        code=code("search_worker.py"),
        # Depends on the output, so it does not count for reruns: where a search is logged does not change it.
        tracking=lambda wildcards, output: TRACKING,
    shell:
        "stage search_worker --search {wildcards.search} --worker {wildcards.worker} --settings {params.search:q}"
        " --network {params.network:q} --training {params.training:q} --tracking {params.tracking:q}"
        " --segments {input.segments:q} --dataset {input.dataset:q} --leaks {input.leaks:q} --shards {input.shards:q}"
        " --store {input.store:q} --done {output.done:q} 2>&1 | tee -i {log:q}"


rule search_best:
    input:
        workers=workers_of,
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
        "<logs>/search_best/{search}.log",
    benchmark:
        "<benchmarks>/search_best/{search}.tsv"
    params:
        search=lambda wildcards: searched(wildcards)["settings"],
        network=lambda wildcards: searched(wildcards)["network"],
        training=lambda wildcards: searched(wildcards)["training"],
        code=code("search_best.py"),
    shell:
        "stage search_best --search {wildcards.search} --settings {params.search:q} --network {params.network:q}"
        " --training {params.training:q} --workers {input.workers:q} --best {output.best:q}"
        " --trials {output.trials:q} --table {output.table:q} 2>&1 | tee -i {log:q}"


SEARCH_FILES = [
    path
    for name in SEARCHES
    for path in (
        *expand(rules.search_worker.output, search=name, worker=range(CONFIG.search[name].workers)),
        *expand(rules.search_best.output, search=name),
    )
]
