# Input and parameter functions of the rules.
def get_plan_inputs(wildcards):
    """The index and the exclusions. They never cause a recorded excitation to be made again."""
    inputs = {"tracks": "<results>/corpus/tracks.parquet", "exclude": str(CONFIG.corpus.exclude or "") or []}
    if wildcards.excitation in RECORDED:
        return {name: ancient(path) if path else path for name, path in inputs.items()}
    return inputs


def get_plan_settings(wildcards):
    """The settings that determine the content of the reels. A probe reel changes no other reel."""
    planned = json.dumps(CONFIG.excitations[wildcards.excitation].planned, separators=(",", ":"))
    return RECORDED.param(wildcards.excitation, "cues.parquet", "settings", planned)


def get_take_patterns(wildcards):
    """The take patterns of the devices that use an excitation, as JSON."""
    return json.dumps(
        {
            name: device.takes
            for name, device in CONFIG.devices.items()
            if device.takes and device.excitation == wildcards.excitation
        }
    )


def get_excitation_file(wildcards, name):
    """A file of the excitation of a device; nothing for pairs."""
    excitation = CONFIG.devices[wildcards.device].excitation
    return f"<results>/excitations/{excitation}/{name}" if excitation else []


def get_dry(wildcards):
    """The dry file of a capture: the file of the pair, or the reel."""
    if wildcards.device in PAIRS:
        return str(PAIRS[wildcards.device][wildcards.capture].dry)
    return get_excitation_file(wildcards, f"reels/{wildcards.capture}.wav")


def get_wet(wildcards):
    """The wet file of a capture: the file of the pair, or the take."""
    if wildcards.device in PAIRS:
        return str(PAIRS[wildcards.device][wildcards.capture].wet)
    return get_take(wildcards.device, wildcards.capture)


def get_take(device, reel):
    """The take of a reel, recorded or simulated."""
    if device in TAKES:
        return str(TAKES[device].get(reel) or take_path(CONFIG.devices[device].takes, reel))
    return f"<results>/devices/{device}/{reel}/take.wav"


def get_reel_layout(wildcards):
    """The file that holds the clicks and blocks of the reel of a capture; nothing for a pair."""
    is_probe = wildcards.capture in probes_of(CONFIG.devices[wildcards.device].excitation)
    return get_excitation_file(wildcards, "probe.json" if is_probe else "excitation.json")


def get_probe_file(wildcards, pattern):
    """A file of the probe reel of a device; nothing if there is none."""
    return [get_excitation_file(wildcards, pattern.replace("{probe}", probe)) for probe in probes(wildcards.device)]


def get_probe_capture_file(wildcards, name):
    """A file of the capture of a device's probe reel, or its `take`; nothing if there is none."""
    device = wildcards.device
    return [
        get_take(device, probe) if name == "take" else f"<results>/devices/{device}/{probe}/{name}"
        for probe in probes(device)
    ]


def get_capture_files(wildcards, pattern):
    """A file of each capture of the music of a device."""
    return expand(
        f"<results>/devices/{{device}}/{pattern}", device=wildcards.device, capture=captures(wildcards.device)
    )


def get_shards(wildcards):
    """All shards of a device."""
    return get_capture_files(wildcards, "shards/{capture}.arrow")


def get_programme(wildcards):
    """The alignments of a device's music takes, which set the level of its probe take; nothing for other takes."""
    device = CONFIG.devices[wildcards.device]
    if wildcards.capture not in probes_of(device.excitation) or not {"gain", "dc"} & set(device.repair):
        return []
    return get_capture_files(wildcards, "{capture}/alignment.json")


def get_kind(wildcards):
    """How a device is captured."""
    device = CONFIG.devices[wildcards.device]
    return "take" if device.takes else "pair" if device.pairs else "simulated"


def get_pair(wildcards):
    """The range of the files that a pair uses, as JSON; `null` for a reel."""
    pair = PAIRS.get(wildcards.device, {}).get(wildcards.capture)
    parts = ("split", "start", "stop", "clip_samples")
    return json.dumps({part: getattr(pair, part) for part in parts} if pair else None)


def get_aligned_range(wildcards):
    """The range of the dry file to align, as JSON; `null` for a reel."""
    pairs = PAIRS.get(wildcards.device, {})
    pair = pairs.get(wildcards.capture)
    return json.dumps(dict(zip(("start", "stop"), aligned_range(pairs.values(), pair), strict=True)) if pair else None)


def get_known(wildcards):
    """What the list of pairs says about a pair, as JSON; empty for a reel."""
    pair = PAIRS.get(wildcards.device, {}).get(wildcards.capture)
    known = vars(pair.known) if pair else {}
    return json.dumps({name: value for name, value in known.items() if value is not None})


def get_acceptance(wildcards):
    """The reason to accept a refused pair, as JSON; `null` if there is none."""
    return json.dumps(json.loads(get_known(wildcards)).get("accept"))


def get_comparison(wildcards):
    """The comparison of the pairs of a device, which may set their lags; nothing for takes and a single pair."""
    several = len(PAIRS.get(wildcards.device, {})) > 1
    return f"<results>/devices/{wildcards.device}/captures.json" if several else []


def get_channel(wildcards):
    """The channel of the wet file that recorded the device, counted from 1."""
    return (PAIRS.get(wildcards.device, {}).get(wildcards.capture) or CONFIG.devices[wildcards.device]).channel


def get_reference_channel(wildcards):
    """The loop-back channel of the wet file, counted from 1; 0 if there is none."""
    pair = PAIRS.get(wildcards.device, {}).get(wildcards.capture)
    return (pair or CONFIG.devices[wildcards.device]).reference_channel or 0


def get_missing_captures(wildcards):
    """The music reels of a device without a take, as JSON."""
    probes_ = probes_of(CONFIG.devices[wildcards.device].excitation)
    return json.dumps([reel for reel, _ in MISSING.get(wildcards.device, []) if reel not in probes_])


def get_excluded_tracks(wildcards):
    """The excluded tracks on recorded reels, as JSON; other reels are made without them.

    The corpus index is not an input of shards: a new track cannot be on a recorded reel.
    """
    return json.dumps(EXCLUDED_TRACKS.get(CONFIG.devices[wildcards.device].excitation, []))


def get_divided_tracks(wildcards):
    """The tracks on recorded reels whose artist is in another split, with the artist, as JSON."""
    families = DIVIDED.get(CONFIG.devices[wildcards.device].excitation, [])
    return json.dumps({track: family.family for family in families for track in family.left_out})


def get_training(wildcards):
    """The training settings of a twin."""
    return CONFIG.training_settings(wildcards.device, wildcards.model)


def get_network(wildcards):
    """The network of a model, as JSON; `null` if a search finds it."""
    return CONFIG.models[wildcards.model].model_dump_json() if wildcards.model in CONFIG.models else "null"


def get_best_model(wildcards):
    """The result of the search that finds a model."""
    return f"<results>/searches/{wildcards.model}/best.yaml" if wildcards.model in CONFIG.search else []


def get_search_dataset(wildcards):
    """The dataset that a search trains on."""
    device = CONFIG.search[wildcards.search].device
    files = {"segments": "segments.parquet", "dataset": "dataset.json", "leaks": "leaks.json"}
    inputs = {key: f"<results>/devices/{device}/{name}" for key, name in files.items()}
    return {**inputs, "shards": [f"<results>/devices/{device}/shards/{name}.arrow" for name in captures(device)]}


def get_search_workers(wildcards):
    """The outputs of all workers of a search."""
    workers = range(CONFIG.search[wildcards.search].workers)
    return expand("<results>/searches/{search}/worker-{worker}.json", search=wildcards.search, worker=workers)


def get_run_records(wildcards):
    """The records of the stages that trained and evaluated a twin. They name all other logged files."""
    stages = [rules.train_twin, rules.export_twin, rules.evaluate_twin, rules.build_twin_page]
    stages += [rules.measure_twin, rules.render_probe_music] if probes(wildcards.device) else []
    return [path for stage in stages for path in expand(stage.output.record, **wildcards)]
