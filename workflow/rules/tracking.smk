# Runs in MLflow. One rule makes the store before anything is logged: parallel jobs on a new database break it.
# The experiments are no parameter of it: a new device's is added when it is first logged to.
from twinlib.tracking_records import makers, records_behind
from twinlib.training.settings import twin_file


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


def stage_records(rule, **wildcards):
    """The records of a rule's jobs."""
    return expand(rule.output.record, **wildcards)


def records_of_captures(device, names):
    """The records of how captures came to be, from the reel to the alignment."""
    made = [rules.align] + ([rules.simulate] if CONFIG.devices[device].simulate else [])
    return [path for rule in made for path in stage_records(rule, device=device, capture=names)]


def records_of_dataset(device):
    """The records behind a device's dataset."""
    excitation, names = CONFIG.devices[device].excitation, captures(device)
    found = records_of_captures(device, names)
    for rule in (rules.ingest, rules.shard):
        found += stage_records(rule, device=device, capture=names)
    for rule in (rules.manifest, rules.leaks):
        found += stage_records(rule, device=device)
    if excitation:
        found += stage_records(rules.index)
        found += stage_records(rules.plan, excitation=excitation)
        found += stage_records(rules.render, excitation=excitation, reel=names)
    return found


def records_of_training(device, model):
    """The records behind a twin, with those of a search and of a twin that it was made from."""
    found = stage_records(rules.train, device=device, model=model) + records_of_dataset(device)
    if model in CONFIG.search:
        search = CONFIG.search[model]
        found += stage_records(rules.search_worker, search=model, worker=range(search.workers))
        found += stage_records(rules.search_best, search=model)
        found += records_of_dataset(search.device)
    first = CONFIG.training_of(device, model).twin_to_start_from
    files = {twin_file(f"{RESULTS}/twins/{twin.device}/{twin.model}"): twin for twin in TWINS}
    if first in files:
        found += records_of_training(files[first].device, files[first].model)
    elif first and first.is_relative_to(RESULTS) and record_path(first).is_file():
        # A twin that is no part of this configuration any more.
        found += map(str, refused(records_behind, RESULTS, [record_path(first)], refused(makers, RESULTS)))
    return found


def records_of(wildcards):
    """The records behind the run of a twin, each once."""
    device, model = wildcards.device, wildcards.model
    found = records_of_training(device, model)
    own = [rules.export, rules.evaluate, rules.page]
    if probes(device):
        own.append(rules.measure_twin)
        found += records_of_captures(device, probes(device))
        found += stage_records(rules.measure, device=device, capture=probes(device))
        found += stage_records(rules.probe, excitation=CONFIG.devices[device].excitation)
    for rule in own:
        found += stage_records(rule, device=device, model=model)
    return sorted(set(found))


rule track:
    input:
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        exports=rules.export.output.files,
        curve="<results>/twins/{device}/{model}/training.parquet",
        metrics="<results>/twins/{device}/{model}/evaluation/metrics.json",
        figures=rules.evaluate.output.figures,
        clips=rules.evaluate.output.clips,
        told=rules.evaluate.output.told,
        pages=[rules.page.output.index, rules.page.output.listening],
        measured=lambda wildcards: expand(
            (
                rules.measure_twin.output.figures + [rules.measure_twin.output.measurements]
                if probes(wildcards.device)
                else []
            ),
            device=wildcards.device,
            model=wildcards.model,
        ),
        segments="<results>/devices/{device}/segments.parquet",
        dataset="<results>/devices/{device}/dataset.json",
        best=best_of,
        records=records_of,
        store=ancient(STORE),
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
        store=ancient(STORE),
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
