# What was recorded: simulated takes, and a verdict on every recording where it lies.


rule simulate:
    input:
        dry_of,
    output:
        take="<results>/devices/{device}/{capture}/take.wav",
        truth="<results>/devices/{device}/{capture}/truth.json",
        record="<results>/devices/{device}/{capture}/take.wav.prov.json",
    log:
        "<logs>/simulate/{device}/{capture}.log",
    benchmark:
        "<benchmarks>/simulate/{device}/{capture}.tsv"
    params:
        settings=lambda wildcards: settings(CONFIG.devices[wildcards.device].simulate),
        code=code("simulate.py"),
    shell:
        "stage simulate --device {wildcards.device} --name {wildcards.capture} --settings {params.settings:q} --reel {input:q}"
        " --take {output.take:q} --truth {output.truth:q} 2>&1 | tee -i {log:q}"


rule ingest:
    input:
        dry=dry_of,
        wet=wet_of,
    output:
        take=report(
            "<results>/devices/{device}/{capture}/take.json",
            caption="../report/take.rst",
            category="Takes",
            labels={"device": "{device}", "capture": "{capture}"},
        ),
        record="<results>/devices/{device}/{capture}/take.json.prov.json",
    log:
        "<logs>/ingest/{device}/{capture}.log",
    benchmark:
        "<benchmarks>/ingest/{device}/{capture}.tsv"
    params:
        kind=lambda wildcards: kind_of(CONFIG.devices[wildcards.device]),
        knobs=lambda wildcards: json.dumps(CONFIG.devices[wildcards.device].settings, sort_keys=True),
        pair=pair_of,
        channel=wet_channel,
        reference_channel=reference_channel,
        code=code("ingest.py"),
    shell:
        "stage ingest --kind {params.kind} --knobs {params.knobs:q} --pair {params.pair:q}"
        " --channel {params.channel} --reference-channel {params.reference_channel} --dry {input.dry:q}"
        " --wet {input.wet:q} --take {output.take:q} 2>&1 | tee -i {log:q}"


rule await_takes:
    output:
        touch("<results>/devices/{device}/takes.complete"),
    log:
        "<logs>/await/{device}.log",
    priority: -1
    localrule: True
    message:
        "{wildcards.device} waits for its recordings: the list stands at the end."
    shell:
        "echo the takes of {wildcards.device} are not all there > {log:q}; exit 1"


CAPTURE_FILES = [
    path
    for name, device in CONFIG.devices.items()
    for path in expand(
        [*rules.ingest.output, *(rules.simulate.output if device.simulate else [])],
        device=name,
        capture=[*captures(name), *probes(name)],
    )
]
AWAITED = [f"<results>/devices/{device}/takes.complete" for device in WAITING]
