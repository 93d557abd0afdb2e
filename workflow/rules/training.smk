# Training of the twins. The program calls torchrun to train with several processes.


rule train_twin:
    input:
        segments="<results>/devices/{device}/segments.parquet",
        dataset="<results>/devices/{device}/dataset.json",
        leaks="<results>/devices/{device}/leaks.json",
        shards=get_shards,
        # If this is a twin of the same DAG, it is trained first.
        start=lambda wildcards: get_training(wildcards).twin_to_start_from or [],
        best=get_best_model,
    output:
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        curve="<results>/twins/{device}/{model}/training.parquet",
        record="<results>/twins/{device}/{model}/twin.safetensors.prov.json",
    log:
        "<logs>/train_twin/{device}/{model}.log",
    benchmark:
        "<benchmarks>/train_twin/{device}/{model}.tsv"
    threads: CONFIG.training.processes
    resources:
        gpu=CONFIG.training.processes * TRAINING_GPUS,
        # A profile may set more; see profiles/slurm.
        nodes=1,
    params:
        network=get_network,
        recipe=lambda wildcards: get_training(wildcards).model_dump_json(exclude={"checkpoint_seconds"}),
        kernels=CONFIG.kernels,
        code=code("train_twin.py"),
        # Params that depend on the output trigger no rerun: the MLflow store and the checkpoint interval change no twin.
        tracking=lambda wildcards, output: TRACKING,
        results=lambda wildcards, output: RESULTS,
        settings=lambda wildcards, output: get_training(wildcards).model_dump_json(),
    shell:
        "stage train_twin --nodes {resources.nodes} --device {wildcards.device} --model {wildcards.model}"
        " --network {params.network:q} --settings {params.settings:q} --best {input.best:q} --tracking {params.tracking:q}"
        " --segments {input.segments:q} --dataset {input.dataset:q} --leaks {input.leaks:q} --shards {input.shards:q}"
        " --results {params.results:q} --twin {output.twin:q} --curve {output.curve:q} 2>&1 | tee -i -- {log:q}"


TWIN_FILES = [
    path
    for twin in READY_TWINS
    for path in expand(rules.train_twin.output.record, device=twin.device, model=twin.model)
]
