# Twins for other programs: .nam for Neural Amp Modeler, .onnx for ONNX Runtime.

FORMATS = ["nam", "onnx"]


rule export_twin:
    input:
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        record="<results>/twins/{device}/{model}/twin.safetensors.prov.json",
        card="<results>/devices/{device}/device_card.json",
        verdict="<results>/twins/{device}/{model}/evaluation/verdict.json",
    output:
        files=expand("<results>/twins/{{device}}/{{model}}/twin.{format}", format=FORMATS),
        record="<results>/twins/{device}/{model}/twin.nam.prov.json",
    log:
        "<logs>/export_twin/{device}/{model}.log",
    benchmark:
        "<benchmarks>/export_twin/{device}/{model}.tsv"
    threads: 1
    params:
        kernels=CONFIG.kernels,
        code=code("export_twin.py"),
    shell:
        "stage export_twin --twin {input.twin:q} --record {input.record:q} --card {input.card:q}"
        " --verdict {input.verdict:q} --outputs {output.files:q} 2>&1 | tee -i -- {log:q}"


TWIN_FILES += [
    path
    for twin in TWINS
    if twin.device in READY
    for path in expand(rules.export_twin.output.record, device=twin.device, model=twin.model)
]
