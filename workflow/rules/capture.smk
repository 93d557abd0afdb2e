# What was recorded: simulated takes, and a verdict on every recording where it lies.


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
    return f"<results>/excitations/{excitation}/excitation.json" if excitation else []


def pair_of(wildcards):
    """What part of its files a pair uses, as JSON; `null` for a capture that came from a reel."""
    pair = PAIRS.get(wildcards.device, {}).get(wildcards.capture)
    parts = ("split", "start", "stop", "clip_samples")
    return json.dumps({part: getattr(pair, part) for part in parts} if pair else None)


def wet_channel(wildcards):
    """The channel of the wet file that the device was on, counted from 1."""
    pair = PAIRS.get(wildcards.device, {}).get(wildcards.capture)
    return pair.channel if pair else CONFIG.devices[wildcards.device].channel


def kind_of(device):
    """Which way a device's captures come."""
    return "take" if device.takes else "pair" if device.pairs else "simulated"


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
        "python {SCRIPTS}/simulate.py --device {wildcards.device} --name {wildcards.capture} --settings {params.settings:q} --reel {input}"
        " --take {output.take} --truth {output.truth} 2>&1 | tee {log}"


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
        code=code("ingest.py"),
    shell:
        "python {SCRIPTS}/ingest.py --kind {params.kind} --knobs {params.knobs:q} --pair {params.pair:q}"
        " --channel {params.channel} --dry {input.dry:q} --wet {input.wet:q} --take {output.take} 2>&1 | tee {log}"


rule await_takes:
    output:
        touch("<results>/devices/{device}/takes.complete"),
    priority: -1
    localrule: True
    message:
        "{wildcards.device} waits for its recordings: the list stands at the end."
    shell:
        "exit 1"


CAPTURE_FILES = [
    path
    for name, device in CONFIG.devices.items()
    for path in expand(
        [*rules.ingest.output, *(rules.simulate.output if device.simulate else [])],
        device=name,
        capture=captures(name),
    )
]
AWAITED = [f"<results>/devices/{device}/takes.complete" for device in WAITING]
