# Input and parameter functions of the rules, by wildcards.


def get_plan_inputs(wildcards):
    """The index and the exclusions; neither moves an excitation that has been recorded."""
    inputs = {"tracks": "<results>/corpus/tracks.parquet"}
    if CONFIG.corpus.exclude:
        inputs["exclude"] = str(CONFIG.corpus.exclude)
    if wildcards.excitation in FROZEN:
        return {name: ancient(path) for name, path in inputs.items()}
    return inputs


def get_take_patterns(wildcards):
    """Where each device wants its takes of this excitation, as JSON."""
    return json.dumps(
        {
            name: device.takes
            for name, device in CONFIG.devices.items()
            if device.takes and device.excitation == wildcards.excitation
        }
    )


def get_dry(wildcards):
    """The dry file of a capture: its pair's, or the reel."""
    if wildcards.device in PAIRS:
        return str(PAIRS[wildcards.device][wildcards.capture].dry)
    excitation = CONFIG.devices[wildcards.device].excitation
    return f"<results>/excitations/{excitation}/reels/{wildcards.capture}.wav"


def get_wet(wildcards):
    """The wet file of a capture: its pair's, the take where the user keeps it, or the simulated one."""
    if wildcards.device in PAIRS:
        return str(PAIRS[wildcards.device][wildcards.capture].wet)
    return get_take(wildcards.device, wildcards.capture)


def get_take(device, reel):
    """The take of a reel: where the user keeps it, or the simulated one."""
    takes = CONFIG.devices[device].takes
    return str(take_path(takes, reel)) if takes else f"<results>/devices/{device}/{reel}/take.wav"


def get_reel_layout(wildcards):
    """Where the clicks and blocks of a capture's reel are told; nothing for a pair."""
    excitation = CONFIG.devices[wildcards.device].excitation
    if not excitation:
        return []
    told = "probe.json" if wildcards.capture in probes_of(excitation) else "excitation.json"
    return f"<results>/excitations/{excitation}/{told}"


def get_probe_file(wildcards, pattern):
    """A file of the probe reel that a device was recorded with; nothing if there is none."""
    folder = f"<results>/excitations/{CONFIG.devices[wildcards.device].excitation}"
    return [f"{folder}/{pattern.replace('{probe}', probe)}" for probe in probes(wildcards.device)]


def get_probe_capture_file(wildcards, name):
    """A file of the capture of a device's probe reel, or its `take`; nothing if there is none."""
    device = wildcards.device
    return [
        get_take(device, probe) if name == "take" else f"<results>/devices/{device}/{probe}/{name}"
        for probe in probes(device)
    ]


def get_pair(wildcards):
    """What part of its files a pair uses, as JSON; `null` for a capture that came from a reel."""
    pair = PAIRS.get(wildcards.device, {}).get(wildcards.capture)
    parts = ("split", "start", "stop", "clip_samples")
    return json.dumps({part: getattr(pair, part) for part in parts} if pair else None)


def get_channel(wildcards):
    """The channel of the wet file that the device was on, counted from 1."""
    pair = PAIRS.get(wildcards.device, {}).get(wildcards.capture)
    return pair.channel if pair else CONFIG.devices[wildcards.device].channel


def get_reference_channel(wildcards):
    """The channel of the wet file that recorded the dry signal beside the device, counted from 1; 0 if none did."""
    pair = PAIRS.get(wildcards.device, {}).get(wildcards.capture)
    return (pair or CONFIG.devices[wildcards.device]).reference_channel or 0


def get_repairs(wildcards):
    """What alignment undoes, in alphabetical order: another order is no change."""
    return sorted(set(CONFIG.devices[wildcards.device].repair))


def get_programme(wildcards):
    """The alignments of a device's music, by which the level of its probe take is repaired; nothing for another take."""
    device = CONFIG.devices[wildcards.device]
    if wildcards.capture not in probes_of(device.excitation) or not {"gain", "dc"} & set(device.repair):
        return []
    names = captures(wildcards.device)
    return [f"<results>/devices/{wildcards.device}/{name}/alignment.json" for name in names]


def get_kind(device):
    """Which way a device's captures come."""
    return "take" if device.takes else "pair" if device.pairs else "simulated"


def get_shard_inputs(wildcards):
    """What a capture's segments are made of; a cue sheet only where there is a reel."""
    inputs = {
        "dry": get_dry(wildcards),
        "wet": get_wet(wildcards),
        "take": f"<results>/devices/{wildcards.device}/{wildcards.capture}/take.json",
        "alignment": f"<results>/devices/{wildcards.device}/{wildcards.capture}/alignment.json",
    }
    excitation = CONFIG.devices[wildcards.device].excitation
    inputs |= {"cues": [], "excitation": []}
    if excitation:
        inputs["cues"] = f"<results>/excitations/{excitation}/cues.parquet"
        inputs["excitation"] = f"<results>/excitations/{excitation}/excitation.json"
    return inputs


def made_alike(output, script, **params):
    """Whether a record says that an output was made by today's code, with these parameters.

    Where an ancient input is made again, Snakemake looks for no other reason to run a job. So inputs are ancient only
    while there is none.
    """
    record = record_path(RESULTS / output)
    if not record.is_file():
        return False
    made = as_workflow_error(read_record, record)
    return made["code"] == code(script) and all(made["params"].get(name) == value for name, value in params.items())


def get_store_of_training(wildcards):
    """The store; that it was made again is no reason to train again."""
    output = f"twins/{wildcards.device}/{wildcards.model}/twin.safetensors"
    record = record_path(RESULTS / output)
    if not made_alike(output, "train_twin.py", network=get_network(wildcards)):
        return STORE
    made = json.loads(read_record(record)["params"]["settings"])
    made.pop("checkpoint_seconds", None)
    return ancient(STORE) if made == json.loads(get_recipe(wildcards)) else STORE


def get_store_of_run(wildcards):
    """The store; that it was made again is no reason to log a run again, unless it is to be logged elsewhere."""
    output = f"twins/{wildcards.device}/{wildcards.model}/run.json"
    return ancient(STORE) if made_alike(output, "log_run.py", tracking=TRACKING) else STORE


def get_store_of_worker(wildcards):
    """The store; that it was made again is no reason to search again."""
    output = f"searches/{wildcards.search}/worker-{wildcards.worker}.json"
    return ancient(STORE) if made_alike(output, "run_search_worker.py", **get_search_params(wildcards)) else STORE


def get_store_of_search(wildcards):
    """The store; that it was made again is no reason to log a search again, unless it is to be logged elsewhere."""
    output = f"searches/{wildcards.search}/run.json"
    params = {"settings": get_search_params(wildcards)["settings"], "tracking": TRACKING}
    return ancient(STORE) if made_alike(output, "log_search.py", **params) else STORE


def get_network(wildcards):
    """A model's entry of the configuration, as JSON; `null` if a search finds it."""
    return settings(CONFIG.models[wildcards.model]) if wildcards.model in CONFIG.models else "null"


def get_recipe(wildcards):
    """How a twin is trained, as JSON, but for how often the state of the training is put away."""
    return get_training(wildcards).model_dump_json(exclude={"checkpoint_seconds"})


def get_best_model(wildcards):
    """Where a search says what it found, for a model that is found by one."""
    return f"<results>/searches/{wildcards.model}/best.yaml" if wildcards.model in CONFIG.search else []


def get_search_params(wildcards):
    """What a search has to know, as JSON: settings but for the number of jobs, base, and recipe but for the budget."""
    search = CONFIG.search[wildcards.search]
    return {
        "settings": settings(search.model_copy(update={"workers": 1})),
        "network": settings(CONFIG.models[search.base]),
        "training": settings(
            CONFIG.training.model_copy(update={"steps": 1, "cpu_seconds": None, "checkpoint_seconds": 30.0})
        ),
    }


def get_search_dataset(wildcards):
    """The dataset that a search trains on."""
    device = CONFIG.search[wildcards.search].device
    folder = f"<results>/devices/{device}"
    return {
        "segments": f"{folder}/segments.parquet",
        "dataset": f"{folder}/dataset.json",
        "leaks": f"{folder}/leaks.json",
        "shards": [f"{folder}/shards/{capture}.arrow" for capture in captures(device)],
    }


def get_search_workers(wildcards):
    """The files that say that the workers of a search are done."""
    return expand(
        "<results>/searches/{search}/worker-{worker}.json",
        search=wildcards.search,
        worker=range(CONFIG.search[wildcards.search].workers),
    )


def get_excluded_tracks(wildcards):
    """The tracks on the reels of a recorded excitation that must not be used any more, as JSON; reels yet to be recorded
    are made without them. The corpus' index is no input of shards: a track that is new to it is on no recorded reel,
    and Snakemake forgets all other reasons to make a shard again while an `ancient` input is being made.
    """
    return json.dumps(WITHDRAWN.get(CONFIG.devices[wildcards.device].excitation, []))


def stage_records(stage, **wildcards):
    """The records of a stage."""
    return expand(stage.output.record, **wildcards)


def records_of_captures(device, names):
    """The records of how captures came to be, from the reel to the alignment."""
    made = [rules.align_take] + ([rules.simulate_take] if CONFIG.devices[device].simulate else [])
    return [path for stage in made for path in stage_records(stage, device=device, capture=names)]


def records_of_dataset(device):
    """The records behind a device's dataset."""
    excitation, names = CONFIG.devices[device].excitation, captures(device)
    found = records_of_captures(device, names)
    for stage in (rules.ingest_take, rules.cut_shard):
        found += stage_records(stage, device=device, capture=names)
    for stage in (rules.build_manifest, rules.check_leaks):
        found += stage_records(stage, device=device)
    if excitation:
        found += stage_records(rules.index_corpus)
        found += stage_records(rules.plan_excitation, excitation=excitation)
        found += stage_records(rules.fingerprint_reels, excitation=excitation)
        found += stage_records(rules.render_reel, excitation=excitation, reel=names)
    return found


def records_of_training(device, model):
    """The records behind a twin, with those of a search and of a twin that it was made from."""
    found = stage_records(rules.train_twin, device=device, model=model) + records_of_dataset(device)
    if model in CONFIG.search:
        search = CONFIG.search[model]
        found += stage_records(rules.run_search_worker, search=model, worker=range(search.workers))
        found += stage_records(rules.select_best_model, search=model)
        found += records_of_dataset(search.device)
    first = CONFIG.training_settings(device, model).twin_to_start_from
    files = {twin_file(f"{RESULTS}/twins/{twin.device}/{twin.model}"): twin for twin in TWINS}
    if first in files:
        found += records_of_training(files[first].device, files[first].model)
    return found


def get_run_records(wildcards):
    """The records behind the run of a twin, each once."""
    device, model = wildcards.device, wildcards.model
    found = records_of_training(device, model)
    own = [rules.export_twin, rules.evaluate_twin, rules.build_twin_page]
    if probes(device):
        own += [rules.measure_twin, rules.render_probe_music]
        found += records_of_captures(device, probes(device))
        found += stage_records(rules.measure_device, device=device, capture=probes(device))
        found += stage_records(rules.render_probe_reel, excitation=CONFIG.devices[device].excitation)
    for stage in own:
        found += stage_records(stage, device=device, model=model)
    return sorted(set(found))
