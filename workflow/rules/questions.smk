# What the rules ask: the inputs and parameters of a job by its wildcards.


def plan_inputs(wildcards):
    """The index and the exclusions; neither moves an excitation that has been recorded."""
    inputs = {"tracks": "<results>/corpus/tracks.parquet"}
    if CONFIG.corpus.exclude:
        inputs["exclude"] = str(CONFIG.corpus.exclude)
    if wildcards.excitation in FROZEN:
        return {name: ancient(path) for name, path in inputs.items()}
    return inputs


def takes_of(wildcards):
    """Where each device wants its takes of this excitation, as JSON."""
    return json.dumps(
        {
            name: device.takes
            for name, device in CONFIG.devices.items()
            if device.takes and device.excitation == wildcards.excitation
        }
    )


def dry_of(wildcards):
    """The dry file of a capture: its pair's, or the reel."""
    if wildcards.device in PAIRS:
        return str(PAIRS[wildcards.device][wildcards.capture].dry)
    excitation = CONFIG.devices[wildcards.device].excitation
    return f"<results>/excitations/{excitation}/reels/{wildcards.capture}.wav"


def wet_of(wildcards):
    """The wet file of a capture: its pair's, the take where the user keeps it, or the simulated one."""
    device = CONFIG.devices[wildcards.device]
    if wildcards.device in PAIRS:
        return str(PAIRS[wildcards.device][wildcards.capture].wet)
    if device.takes:
        return str(take_path(device.takes, wildcards.capture))
    return f"<results>/devices/{wildcards.device}/{wildcards.capture}/take.wav"


def excitation_of(wildcards):
    """Where the clicks and blocks of a capture's reel are told; nothing for a pair."""
    excitation = CONFIG.devices[wildcards.device].excitation
    if not excitation:
        return []
    told = "probe.json" if wildcards.capture in probes_of(excitation) else "excitation.json"
    return f"<results>/excitations/{excitation}/{told}"


def probe_file(wildcards, pattern):
    """A file of the probe reel that a device was recorded with; nothing if there is none."""
    folder = f"<results>/excitations/{CONFIG.devices[wildcards.device].excitation}"
    return [f"{folder}/{pattern.replace('{probe}', probe)}" for probe in probes(wildcards.device)]


def pair_of(wildcards):
    """What part of its files a pair uses, as JSON; `null` for a capture that came from a reel."""
    pair = PAIRS.get(wildcards.device, {}).get(wildcards.capture)
    parts = ("split", "start", "stop", "clip_samples")
    return json.dumps({part: getattr(pair, part) for part in parts} if pair else None)


def wet_channel(wildcards):
    """The channel of the wet file that the device was on, counted from 1."""
    pair = PAIRS.get(wildcards.device, {}).get(wildcards.capture)
    return pair.channel if pair else CONFIG.devices[wildcards.device].channel


def reference_channel(wildcards):
    """The channel of the wet file that recorded the dry signal beside the device, counted from 1; 0 if none did."""
    pair = PAIRS.get(wildcards.device, {}).get(wildcards.capture)
    return (pair or CONFIG.devices[wildcards.device]).reference_channel or 0


def repair_of(wildcards):
    """What alignment undoes, in alphabetical order: another order is no change."""
    return sorted(set(CONFIG.devices[wildcards.device].repair))


def kind_of(device):
    """Which way a device's captures come."""
    return "take" if device.takes else "pair" if device.pairs else "simulated"


def shard_inputs(wildcards):
    """What a capture's segments are made of; a reel's cue sheet and the exclusions only where there is a reel."""
    inputs = {
        "dry": dry_of(wildcards),
        "wet": wet_of(wildcards),
        "take": f"<results>/devices/{wildcards.device}/{wildcards.capture}/take.json",
        "alignment": f"<results>/devices/{wildcards.device}/{wildcards.capture}/alignment.json",
    }
    excitation = CONFIG.devices[wildcards.device].excitation
    inputs |= {"tracks": [], "cues": [], "excitation": []}
    if excitation:
        tracks = "<results>/corpus/tracks.parquet"
        inputs["tracks"] = ancient(tracks) if excitation in FROZEN and cut_alike(wildcards) else tracks
        inputs["cues"] = f"<results>/excitations/{excitation}/cues.parquet"
        inputs["excitation"] = f"<results>/excitations/{excitation}/excitation.json"
        if CONFIG.corpus.exclude:
            inputs["exclude"] = str(CONFIG.corpus.exclude)
    return inputs


def made_alike(output, script, **params):
    """Whether a record says that an output was made by today's code, with these parameters.

    Where an ancient input is made again, Snakemake looks for no other reason to run a job. So inputs are ancient only
    while there is none.
    """
    record = record_path(RESULTS / output)
    if not record.is_file():
        return False
    made = refused(read_record, record)
    return made["code"] == code(script) and all(made["params"].get(name) == value for name, value in params.items())


def cut_alike(wildcards):
    """Whether a capture's shard was made as it would be now, whatever tracks the corpus has got since."""
    output, exclude = f"devices/{wildcards.device}/shards/{wildcards.capture}.arrow", CONFIG.corpus.exclude
    alike = made_alike(
        output,
        "shard.py",
        settings=settings(CONFIG.dataset),
        corpus=exclusions_of(wildcards),
        pair=pair_of(wildcards),
        channel=str(wet_channel(wildcards)),
    )
    if not alike or not exclude:
        return alike
    return sha256_file(exclude) in read_record(record_path(RESULTS / output))["inputs"].values()


def store_of_training(wildcards):
    """The store; that it was made again is no reason to train again."""
    output = f"twins/{wildcards.device}/{wildcards.model}/twin.safetensors"
    record = record_path(RESULTS / output)
    if not made_alike(output, "train.py", network=network_of(wildcards)):
        return STORE
    made = json.loads(read_record(record)["params"]["settings"])
    made.pop("checkpoint_seconds", None)
    return ancient(STORE) if made == json.loads(recipe_of(wildcards)) else STORE


def store_of_run(wildcards):
    """The store; that it was made again is no reason to log a run again, unless it is to be logged elsewhere."""
    output = f"twins/{wildcards.device}/{wildcards.model}/run.json"
    params = {"network": network_of(wildcards), "settings": settings(training(wildcards)), "tracking": TRACKING}
    return ancient(STORE) if made_alike(output, "track.py", **params) else STORE


def store_of_worker(wildcards):
    """The store; that it was made again is no reason to search again."""
    output = f"searches/{wildcards.search}/worker-{wildcards.worker}.json"
    return ancient(STORE) if made_alike(output, "search_worker.py", **searched(wildcards)) else STORE


def store_of_search(wildcards):
    """The store; that it was made again is no reason to log a search again, unless it is to be logged elsewhere."""
    output = f"searches/{wildcards.search}/run.json"
    params = {"settings": searched(wildcards)["settings"], "tracking": TRACKING}
    return ancient(STORE) if made_alike(output, "track_search.py", **params) else STORE


def network_of(wildcards):
    """A model's entry of the configuration, as JSON; `null` if a search finds it."""
    return settings(CONFIG.models[wildcards.model]) if wildcards.model in CONFIG.models else "null"


def recipe_of(wildcards):
    """How a twin is trained, as JSON, but for how often the state of the training is put away."""
    return training(wildcards).model_dump_json(exclude={"checkpoint_seconds"})


def best_of(wildcards):
    """Where a search says what it found, for a model that is found by one."""
    return f"<results>/searches/{wildcards.model}/best.yaml" if wildcards.model in CONFIG.search else []


def searched(wildcards):
    """What a search has to know, as JSON: settings but for the number of jobs, base, and recipe but for the budget."""
    search = CONFIG.search[wildcards.search]
    return {
        "settings": settings(search.model_copy(update={"workers": 1})),
        "network": settings(CONFIG.models[search.base]),
        "training": settings(
            CONFIG.training.model_copy(update={"steps": 1, "cpu_seconds": None, "checkpoint_seconds": 30.0})
        ),
    }


def searched_dataset(wildcards):
    """The dataset that a search trains on."""
    device = CONFIG.search[wildcards.search].device
    folder = f"<results>/devices/{device}"
    return {
        "segments": f"{folder}/segments.parquet",
        "dataset": f"{folder}/dataset.json",
        "leaks": f"{folder}/leaks.json",
        "shards": [f"{folder}/shards/{capture}.arrow" for capture in captures(device)],
    }


def workers_of(wildcards):
    """The files that say that the workers of a search are done."""
    return expand(
        "<results>/searches/{search}/worker-{worker}.json",
        search=wildcards.search,
        worker=range(CONFIG.search[wildcards.search].workers),
    )


def exclusions_of(wildcards):
    """The part of the corpus settings that leaves tracks out, as JSON; `null` for pairs."""
    if not CONFIG.devices[wildcards.device].excitation:
        return "null"
    parts = {"exclude", "exclude_artists", "exclude_genres", "exclude_bleed"}
    return json.dumps({"root": ".", **CONFIG.corpus.model_dump(mode="json", include=parts)}, sort_keys=True)


def training(wildcards):
    """How a twin is trained."""
    return CONFIG.training_of(wildcards.device, wildcards.model)
