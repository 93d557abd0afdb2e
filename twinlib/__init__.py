"""A digital twin of an analog harmonic-distortion device: the library behind the workflow.

For use from Python: `align` and `warp` signals, `train`, `load_twin`, `evaluate` and `export_twin` twins, measure
`harmonics`, `load_dataset`; `Twin.render` plays an array. These names are imported on first use.

Packages in the order of the data flow; each imports only from those above it:

    provenance    digests, stage records, results folders
    corpus        sources of music with artists and licences
    excitation    cue sheets, reels and probe reels
    capture       takes and pairs: recordings of a device
    simulation    simulated devices with known ground truth
    resampling    signals at another sample rate and along a varying lag
    estimation    delays, lines, splines and linear filters, estimated from signals
    alignment     lag, drift, polarity and dropouts; the wet signal on the dry clock
    diagnosis     changes of the device during a take, modulation, echoes; the witness
    dataset       segments, splits, shards and leak checks
    model         the network, its file, streaming and export
    training      losses, optimisation, checkpoints and hyperparameter search
    measurement   harmonics, responses, intermodulation and noise from a probe reel
    evaluation    errors of a twin and its baselines
    listening     stimuli and the page for listening tests
    reports       figures, the page of a twin, comparison and summary
    tracking      MLflow
    audit         lineage, withdrawal, licences, datasheets and exports

Modules shared by all: `audio` sound files, `files` atomic I/O, `contracts` names and versions of files, `intervals`
sample ranges, `db` decibels, `findings` results of checks, `formatting` numbers, `plotting` figures, `errors`,
`progress`, `section` the base of `config`, `project` a project from pairs of files, and `cli` with `cli_runtime` for
the `twin` command, `api` the names above, and `extras` optional packages.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
