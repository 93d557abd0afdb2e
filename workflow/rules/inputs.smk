# Input and parameter functions of the rules.
import functools

import snakemake.common
import snakemake.rules

# Snakemake inspects the signature of each of these functions for each job, in a tenth of the time of planning.
snakemake.common.get_function_params = snakemake.rules.get_function_params = functools.lru_cache(maxsize=1024)(
    snakemake.common.get_function_params
)


def get_plan_settings(wildcards):
    """The settings that determine the content of the reels. A probe reel changes no other reel."""
    planned = json.dumps(CONFIG.excitations[wildcards.excitation].planned, separators=(",", ":"))
    return RECORDED.param(wildcards.excitation, "cues.parquet", "settings", planned)


def get_card(wildcards):
    """The card of a device: the file beside its takes, and over it the keys of the configuration."""
    device = CONFIG.devices[wildcards.device]
    return as_workflow_error(merge_card, device.takes, wildcards.device, device.card)


def get_capture(wildcards):
    """The files of a capture, and what is known about them."""
    return as_workflow_error(CAPTURES[wildcards.device].__getitem__, wildcards.capture)


def get_dry(wildcards):
    """The dry file of a capture: the file of the pair, or the reel."""
    return str(get_capture(wildcards).dry)


def get_wet(wildcards):
    """The wet file of a capture: the file of the pair, or the take."""
    return str(get_capture(wildcards).wet)


def get_excitation_file(wildcards, name):
    """A file of the excitation of a device; nothing for pairs."""
    excitation = CONFIG.devices[wildcards.device].excitation
    return f"<results>/excitations/{excitation}/{name}" if excitation else []


def get_reel_layout(wildcards):
    """The file that holds the clicks and blocks of the reel of a capture; nothing for a pair."""
    return get_excitation_file(wildcards, "probe.json" if get_capture(wildcards).is_probe else "excitation.json")


def get_probe_file(wildcards, pattern):
    """A file of the probe reel of a device; nothing if there is none."""
    return [
        get_excitation_file(wildcards, pattern.replace("{probe}", probe)) for probe in CAPTURES[wildcards.device].probes
    ]


def get_probe_capture_file(wildcards, name):
    """A file of the capture of a device's probe reel, or its `take`; nothing if there is none."""
    one = CAPTURES[wildcards.device]
    return [
        str(one[probe].wet) if name == "take" else f"<results>/devices/{one.device}/{probe}/{name}"
        for probe in one.probes
    ]


def get_capture_files(wildcards, pattern):
    """A file of each capture of the music of a device."""
    one = CAPTURES[wildcards.device]
    return expand(f"<results>/devices/{{device}}/{pattern}", device=one.device, capture=one.music)


def get_take_files(wildcards, name):
    """A file of each capture of a device, including that of its probe reel."""
    one = CAPTURES[wildcards.device]
    return [f"<results>/devices/{one.device}/{capture}/{name}" for capture in (*one.music, *one.probes)]


def get_shards(wildcards):
    """All shards of a device."""
    return get_capture_files(wildcards, "shards/{capture}.arrow")


def get_programme(wildcards):
    """The alignments of a device's music takes, which set the level of its probe take; nothing for other takes."""
    if not get_capture(wildcards).is_probe or not {"gain", "dc"} & set(CONFIG.devices[wildcards.device].repair):
        return []
    return get_capture_files(wildcards, "{capture}/alignment.json")


def get_comparison(wildcards):
    """The comparison of the pairs of a device, which may set their lags; nothing for takes and a single pair."""
    several = get_capture(wildcards).kind == "pair" and len(CAPTURES[wildcards.device].music) > 1
    return f"<results>/devices/{wildcards.device}/captures.json" if several else []


def get_missing_captures(wildcards):
    """The music reels of a device without a take, as JSON."""
    one = CAPTURES[wildcards.device]
    return json.dumps([reel for reel, _ in one.missing if not one[reel].is_probe])


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
    return {**inputs, "shards": [f"<results>/devices/{device}/shards/{name}.arrow" for name in CAPTURES[device].music]}


def get_search_workers(wildcards):
    """The outputs of all workers of a search."""
    workers = range(CONFIG.search[wildcards.search].workers)
    return expand("<results>/searches/{search}/worker-{worker}.json", search=wildcards.search, worker=workers)


def get_run_records(wildcards):
    """The records of the stages that trained and evaluated a twin. They name all other logged files."""
    stages = [rules.train_twin, rules.export_twin, rules.evaluate_twin, rules.build_twin_page]
    stages += [rules.measure_twin, rules.render_probe_music] if CAPTURES[wildcards.device].probes else []
    return [path for stage in stages for path in expand(stage.output.record, **wildcards)]
