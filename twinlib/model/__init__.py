"""Networks, twins and their playback.

`architecture` describes networks without torch (`models:` in the configuration), `wavenet` is the torch module, `twin`
the file of a trained network (`tensors` reads and writes it, `checksum` protects it). `streaming` plays block by block,
`render` whole files. `export` writes a twin for other programs, as `nam` or `onnx_export`, from the folded weights of
`export_weights` and with the metadata of `export_metadata`.
"""
