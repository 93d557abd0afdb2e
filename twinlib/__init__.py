"""A digital twin of an analog harmonic-distortion device: the library behind the pipeline.

The rooms, in the order in which data flows; a room imports from those above it, never from one below:

`audio` sound files · `corpus` what music there is · `excitation` what is played · `capture` what was recorded ·
`alignment` both on one clock · `dataset` segments and shards · `model` the network · `training` its weights ·
`evaluation` how good they are · `provenance` what came from what · `tracking` MLflow · `config` all settings ·
`cli` the `twin` command.
"""
