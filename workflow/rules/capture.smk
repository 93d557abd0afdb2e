# Device cards, simulated takes, and the check of every recording.


rule write_device_card:
    output:
        card="<results>/devices/{device}/device_card.json",
        record="<results>/devices/{device}/device_card.json.prov.json",
    log:
        "<logs>/write_device_card/{device}.log",
    benchmark:
        "<benchmarks>/write_device_card/{device}.tsv"
    localrule: True
    params:
        card=lambda wildcards: json.dumps(get_card(wildcards).given, sort_keys=True),
        code=code("write_device_card.py"),
    shell:
        "stage write_device_card --device {wildcards.device} --card {params.card:q} --output {output.card:q}"
        " 2>&1 | tee -i -- {log:q}"


rule simulate_take:
    input:
        get_dry,
    output:
        take="<results>/devices/{device}/{capture}/take.wav",
        truth="<results>/devices/{device}/{capture}/truth.json",
        record="<results>/devices/{device}/{capture}/take.wav.prov.json",
    log:
        "<logs>/simulate_take/{device}/{capture}.log",
    benchmark:
        "<benchmarks>/simulate_take/{device}/{capture}.tsv"
    params:
        settings=lambda wildcards: CONFIG.devices[wildcards.device].simulate.model_dump_json(),
        code=code("simulate_take.py"),
    shell:
        "stage simulate_take --device {wildcards.device} --name {wildcards.capture} --settings {params.settings:q} --reel {input:q}"
        " --take {output.take:q} --truth {output.truth:q} 2>&1 | tee -i -- {log:q}"


rule ingest_take:
    input:
        dry=get_dry,
        wet=get_wet,
    output:
        take=report(
            "<results>/devices/{device}/{capture}/take.json",
            caption="../report/take.rst",
            category="Takes",
            labels={"device": "{device}", "capture": "{capture}"},
        ),
        record="<results>/devices/{device}/{capture}/take.json.prov.json",
    log:
        "<logs>/ingest_take/{device}/{capture}.log",
    benchmark:
        "<benchmarks>/ingest_take/{device}/{capture}.tsv"
    params:
        kind=lambda wildcards: get_capture(wildcards).kind,
        knobs=lambda wildcards: json.dumps(CONFIG.devices[wildcards.device].settings, sort_keys=True),
        accept=lambda wildcards: json.dumps(get_capture(wildcards).known.get("accept")),
        channel=lambda wildcards: get_capture(wildcards).channel,
        reference_channel=lambda wildcards: get_capture(wildcards).reference_channel or 0,
        code=code("ingest_take.py"),
    shell:
        "stage ingest_take --kind {params.kind} --knobs {params.knobs:q} --accept {params.accept:q}"
        " --channel {params.channel} --reference-channel {params.reference_channel} --dry {input.dry:q}"
        " --wet {input.wet:q} --take {output.take:q} 2>&1 | tee -i -- {log:q}"


CAPTURE_FILES = [
    path
    for name, device in CONFIG.devices.items()
    for path in expand(
        [rules.ingest_take.output.record, *([rules.simulate_take.output.record] if device.simulate else [])],
        device=name,
        capture=[*CAPTURES[name].music, *CAPTURES[name].probes],
    )
]
