"""Networks, twins and their playback.

`architecture` describes networks without torch (`models:` in the configuration), `wavenet` is the torch module, `twin`
the file of a trained network (`tensors` reads and writes it, `checksum` protects it). `streaming` plays block by block,
`render` whole files. `export` writes a twin for other programs, as `nam` or `onnx_export`, from the folded weights of
`export_weights` and with the metadata of `export_metadata`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
