# The stage records behind a twin, which its run in MLflow holds.
from twinlib.tracking_records import makers, records_behind
from twinlib.training.settings import twin_file


def stage_records(each, **wildcards):
    """The records of a rule's jobs."""
    return expand(each.output.record, **wildcards)


def records_of_captures(device, names):
    """The records of how captures came to be, from the reel to the alignment."""
    made = [rules.align] + ([rules.simulate] if CONFIG.devices[device].simulate else [])
    return [path for each in made for path in stage_records(each, device=device, capture=names)]


def records_of_dataset(device):
    """The records behind a device's dataset."""
    excitation, names = CONFIG.devices[device].excitation, captures(device)
    found = records_of_captures(device, names)
    for each in (rules.ingest, rules.shard):
        found += stage_records(each, device=device, capture=names)
    for each in (rules.manifest, rules.leaks):
        found += stage_records(each, device=device)
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
    for each in own:
        found += stage_records(each, device=device, model=model)
    return sorted(set(found))
