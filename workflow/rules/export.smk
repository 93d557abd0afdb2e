# Twins for other programs: .nam for the Neural Amp Modeler plug-in, .onnx for ONNX Runtime. Both formats hold every
# network that a configuration can describe, so both are made of every twin.

FORMATS = ["nam", "onnx"]


rule export:
    input:
        twin="<results>/twins/{device}/{model}/twin.safetensors",
        record="<results>/twins/{device}/{model}/twin.safetensors.prov.json",
    output:
        files=expand("<results>/twins/{{device}}/{{model}}/twin.{format}", format=FORMATS),
        record="<results>/twins/{device}/{model}/twin.nam.prov.json",
    log:
        "<logs>/export/{device}/{model}.log",
    benchmark:
        "<benchmarks>/export/{device}/{model}.tsv"
    threads: 1
    params:
        code=code("export.py"),
    shell:
        "stage export --twin {input.twin:q} --record {input.record:q} --outputs {output.files:q} 2>&1 | tee -i {log:q}"


TWIN_FILES += [
    path
    for twin in TWINS
    if twin.device in READY
    for path in expand(rules.export.output, device=twin.device, model=twin.model)
]
