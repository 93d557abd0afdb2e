# A plain Snakefile of the shape of this project, for planning.py.
DEVICES = [f"device{i:02d}" for i in range(int(config["devices"]))]
REELS = [f"main-{i:02d}" for i in range(1, int(config["reels"]) + 1)]
MODELS = [f"m{i}" for i in range(int(config["models"]))]
D = "plain/devices/{device}/"
T = "plain/twins/{device}/{model}/"


rule all:
    input:
        expand(D + "card.json", device=DEVICES),
        expand(D + "leaks.json", device=DEVICES),
        expand(T + "index.html", device=DEVICES, model=MODELS),
        expand(T + "run.json", device=DEVICES, model=MODELS),
        "plain/summary.txt",
        "plain/comparison.html",
        "plain/recording.md",


rule index_corpus:
    output: "plain/tracks.parquet",
    log: "plain/logs/index.log",
    shell: "index {output} > {log}"


rule plan:
    input: "plain/tracks.parquet",
    output: "plain/cues.parquet", "plain/excitation.json",
    log: "plain/logs/plan.log",
    shell: "plan {input} {output} > {log}"


rule guide:
    input: "plain/excitation.json",
    output: "plain/recording.md",
    log: "plain/logs/guide.log",
    shell: "guide {input} {output} > {log}"


rule render:
    input: "plain/cues.parquet", "plain/excitation.json",
    output: "plain/reels/{reel}.wav",
    log: "plain/logs/render/{reel}.log",
    shell: "render {input} {output} > {log}"


rule fingerprint:
    input: "plain/cues.parquet", expand("plain/reels/{reel}.wav", reel=REELS),
    output: "plain/fingerprints.parquet",
    log: "plain/logs/fingerprint.log",
    shell: "fingerprint {input} {output} > {log}"


rule card:
    output: D + "card.json",
    log: "plain/logs/card/{device}.log",
    shell: "card {output} > {log}"


rule simulate:
    input: "plain/reels/{reel}.wav",
    output: D + "{reel}/take.wav", D + "{reel}/truth.json",
    log: "plain/logs/simulate/{device}/{reel}.log",
    shell: "simulate {input} {output} > {log}"


rule ingest:
    input: "plain/reels/{reel}.wav", D + "{reel}/take.wav",
    output: D + "{reel}/take.json",
    log: "plain/logs/ingest/{device}/{reel}.log",
    shell: "ingest {input} {output} > {log}"


rule align:
    input: "plain/reels/{reel}.wav", D + "{reel}/take.wav", "plain/excitation.json",
    output: D + "{reel}/alignment.json", D + "{reel}/alignment.svg",
    log: "plain/logs/align/{device}/{reel}.log",
    shell: "align {input} {output} > {log}"


rule compare:
    input: expand(D + "{reel}/alignment.json", reel=REELS, allow_missing=True),
    output: D + "captures.json",
    log: "plain/logs/compare/{device}.log",
    shell: "compare {input} {output} > {log}"


rule shard:
    input: "plain/reels/{reel}.wav", D + "{reel}/take.wav", D + "{reel}/take.json", D + "{reel}/alignment.json",
        "plain/cues.parquet", "plain/excitation.json",
    output: D + "shards/{reel}.arrow", D + "shards/{reel}.parquet",
    log: "plain/logs/shard/{device}/{reel}.log",
    shell: "shard {input} {output} > {log}"


rule manifest:
    input:
        D + "captures.json",
        expand(D + "shards/{reel}.arrow", reel=REELS, allow_missing=True),
        expand(D + "shards/{reel}.parquet", reel=REELS, allow_missing=True),
        expand(D + "{reel}/take.json", reel=REELS, allow_missing=True),
        expand(D + "{reel}/alignment.json", reel=REELS, allow_missing=True),
    output: D + "segments.parquet", D + "dataset.json",
    log: "plain/logs/manifest/{device}.log",
    shell: "manifest {input} {output} > {log}"


rule leaks:
    input: D + "segments.parquet", "plain/cues.parquet", "plain/fingerprints.parquet",
    output: D + "leaks.json",
    log: "plain/logs/leaks/{device}.log",
    shell: "leaks {input} {output} > {log}"


rule train:
    input: D + "segments.parquet", D + "dataset.json", D + "leaks.json",
        expand(D + "shards/{reel}.arrow", reel=REELS, allow_missing=True),
    output: T + "twin.safetensors", T + "training.parquet",
    log: "plain/logs/train/{device}/{model}.log",
    shell: "train {input} {output} > {log}"


rule export:
    input: T + "twin.safetensors", D + "card.json", T + "verdict.json",
    output: T + "twin.nam", T + "twin.onnx",
    log: "plain/logs/export/{device}/{model}.log",
    shell: "export {input} {output} > {log}"


rule evaluate:
    input: T + "twin.safetensors", T + "training.parquet", D + "segments.parquet", D + "dataset.json",
        expand(D + "shards/{reel}.arrow", reel=REELS, allow_missing=True),
    output: T + "metrics.json", T + "verdict.json", expand(T + "{figure}.svg", figure=range(6), allow_missing=True),
        expand(T + "{clip}.flac", clip=range(5), allow_missing=True),
    log: "plain/logs/evaluate/{device}/{model}.log",
    shell: "evaluate {input} {output} > {log}"


rule page:
    input: rules.evaluate.output,
    output: T + "index.html", T + "listening.html",
    log: "plain/logs/page/{device}/{model}.log",
    shell: "page {input} {output} > {log}"


rule log_run:
    input: T + "twin.nam", T + "metrics.json", T + "index.html",
    output: T + "run.json",
    log: "plain/logs/log/{device}/{model}.log",
    shell: "log {input} {output} > {log}"


rule summary:
    input: expand(T + "metrics.json", device=DEVICES, model=MODELS),
    output: "plain/summary.txt",
    log: "plain/logs/summary.log",
    shell: "summary {input} {output} > {log}"


rule comparison:
    input: expand(T + "metrics.json", device=DEVICES, model=MODELS),
    output: "plain/comparison.html",
    log: "plain/logs/comparison.log",
    shell: "comparison {input} {output} > {log}"
