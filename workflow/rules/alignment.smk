# Alignment of the wet signals to the clock of their dry signals.


rule align_take:
    input:
        unpack(
            lambda wildcards: {
                "dry": get_dry(wildcards),
                "wet": get_wet(wildcards),
                "excitation": get_reel_layout(wildcards),
                "programme": get_programme(wildcards),
            }
        ),
    output:
        alignment="<results>/devices/{device}/{capture}/alignment.json",
        picture=report(
            "<results>/devices/{device}/{capture}/alignment.svg",
            caption="../report/alignment.rst",
            category="Alignment",
            labels={"device": "{device}", "capture": "{capture}"},
        ),
        record="<results>/devices/{device}/{capture}/alignment.json.prov.json",
    log:
        "<logs>/align_take/{device}/{capture}.log",
    benchmark:
        "<benchmarks>/align_take/{device}/{capture}.tsv"
    params:
        guard=CONFIG.dataset.guard_samples,
        dry_range=lambda wildcards: json.dumps(get_capture(wildcards).aligned),
        known=lambda wildcards: json.dumps(get_capture(wildcards).known),
        channel=lambda wildcards: get_capture(wildcards).channel,
        reference_channel=lambda wildcards: get_capture(wildcards).reference_channel or 0,
        # The order does not matter.
        repair=lambda wildcards: sorted(set(CONFIG.devices[wildcards.device].repair)),
        code=code("align_take.py"),
    shell:
        "stage align_take --name {wildcards.capture} --guard {params.guard} --dry-range {params.dry_range:q}"
        " --known {params.known:q}"
        " --channel {params.channel} --reference-channel {params.reference_channel} --repair {params.repair}"
        " --dry {input.dry:q} --wet {input.wet:q}"
        " --excitation {input.excitation:q} --programme {input.programme:q} --alignment {output.alignment:q}"
        " --picture {output.picture:q} 2>&1 | tee -i -- {log:q}"


rule compare_captures:
    input:
        alignments=lambda wildcards: get_capture_files(wildcards, "{capture}/alignment.json"),
    output:
        captures="<results>/devices/{device}/captures.json",
        record="<results>/devices/{device}/captures.json.prov.json",
    log:
        "<logs>/compare_captures/{device}.log",
    benchmark:
        "<benchmarks>/compare_captures/{device}.tsv"
    localrule: True
    params:
        names=lambda wildcards: CAPTURES[wildcards.device].music,
        code=code("compare_captures.py"),
    shell:
        "stage compare_captures --device {wildcards.device} --names {params.names:q} --alignments {input.alignments:q}"
        " --captures {output.captures:q} 2>&1 | tee -i -- {log:q}"


rule build_contact_sheet:
    input:
        takes=lambda wildcards: get_take_files(wildcards, "take.json"),
        alignments=lambda wildcards: get_take_files(wildcards, "alignment.json"),
    output:
        sheet=report(
            "<results>/devices/{device}/takes.html",
            caption="../report/takes.rst",
            category="Takes",
            labels={"device": "{device}", "capture": "all"},
        ),
        record="<results>/devices/{device}/takes.html.prov.json",
    log:
        "<logs>/build_contact_sheet/{device}.log",
    benchmark:
        "<benchmarks>/build_contact_sheet/{device}.tsv"
    localrule: True
    params:
        missing=lambda wildcards: json.dumps([reel for reel, _ in CAPTURES[wildcards.device].missing]),
        code=code("build_contact_sheet.py"),
    shell:
        "stage build_contact_sheet --device {wildcards.device} --missing {params.missing:q} --takes {input.takes:q}"
        " --alignments {input.alignments:q} --sheet {output.sheet:q} 2>&1 | tee -i -- {log:q}"


CAPTURE_FILES += [
    path
    for name in CONFIG.devices
    for path in expand(
        rules.align_take.output.record, device=name, capture=[*CAPTURES[name].music, *CAPTURES[name].probes]
    )
]
CAPTURE_FILES += [
    path
    for name, one in CAPTURES.items()
    if one.music or one.probes
    for path in expand(rules.build_contact_sheet.output, device=name)
]
