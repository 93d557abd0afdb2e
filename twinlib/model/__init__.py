"""The model: what a twin is, and how it turns dry audio into wet.

`architecture` describes networks without torch (the config's `models:`), `wavenet` is the torch network, `twin` the
file that holds a trained one (`tensors` reads and writes it, `sums` is what vouches for it), `streaming` plays it block
by block, and `render` plays whole files. For other programs `export` writes it as `nam` or `onnx_export`, of what
`folding` makes of its weights and with the `card` that tells of it.
"""
