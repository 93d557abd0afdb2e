"""Networks, twins and their playback.

`architecture` describes networks (`models:` in the configuration), `twin` the file of a trained network (`tensors`
reads and writes it, `checksum` protects it). `wavenet` is the network as a torch module; `compiled_torch` runs it by
the compiled kernels, in the terms of `compiled`. `streaming` plays block by block with an engine: the kernels, or torch
in `torch_stream`. Only that engine and training import torch. `render` plays whole files. `export` writes a twin for
other programs, as `nam` or `onnx_export`, from the folded weights of `export_weights` and with the metadata of
`export_metadata`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
