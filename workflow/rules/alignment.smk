# Both signals on one clock.


rule align:
    input:
        unpack(
            lambda wildcards: {
                "dry": dry_of(wildcards),
                "wet": wet_of(wildcards),
                "excitation": excitation_of(wildcards),
                "programme": programme_of(wildcards),
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
        "<logs>/align/{device}/{capture}.log",
    benchmark:
        "<benchmarks>/align/{device}/{capture}.tsv"
    params:
        guard=CONFIG.dataset.guard_samples,
        channel=wet_channel,
        reference_channel=reference_channel,
        repair=repair_of,
        code=code("align.py"),
    shell:
        "stage align --name {wildcards.capture} --guard {params.guard}"
        " --channel {params.channel} --reference-channel {params.reference_channel} --repair {params.repair}"
        " --dry {input.dry:q} --wet {input.wet:q}"
        " --excitation {input.excitation:q} --programme {input.programme:q} --alignment {output.alignment:q}"
        " --picture {output.picture:q} 2>&1 | tee -i {log:q}"


CAPTURE_FILES += [
    path
    for name in CONFIG.devices
    for path in expand(rules.align.output, device=name, capture=[*captures(name), *probes(name)])
]
