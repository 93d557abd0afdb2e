# The twin of a device with a model's network. The program calls torchrun if several processes are to train it.


rule train_twin:
    input:
        segments="<results>/devices/{device}/segments.parquet",
        dataset="<results>/devices/{device}/dataset.json",
        leaks="<results>/devices/{device}/leaks.json",
        shards=lambda wildcards: expand(
            "<results>/devices/{device}/shards/{capture}.arrow",
            device=wildcards.device,
            capture=captures(wildcards.device),
        ),
        # It may be another twin of this DAG, which then is made first.
        start=lambda wildcards: get_training(wildcards).twin_to_start_from or [],
        best=get_best_model,
        store=get_store_of_training,
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
    params:
        network=get_network,
        recipe=get_recipe,
        code=code("train_twin.py"),
        # These depend on the output, so they do not count for reruns: where a training is logged, and how often its
        # state is put away, does not change it.
        tracking=lambda wildcards, output: TRACKING,
        settings=lambda wildcards, output: settings(get_training(wildcards)),
    shell:
        "stage train_twin --device {wildcards.device} --model {wildcards.model}"
        " --network {params.network:q} --settings {params.settings:q} --best {input.best:q} --tracking {params.tracking:q}"
        " --segments {input.segments:q} --dataset {input.dataset:q} --leaks {input.leaks:q} --shards {input.shards:q}"
        " --store {input.store:q} --twin {output.twin:q} --curve {output.curve:q} 2>&1 | tee -i {log:q}"


TWIN_FILES = [
    path for twin in READY_TWINS for path in expand(rules.train_twin.output, device=twin.device, model=twin.model)
]
