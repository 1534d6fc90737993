"""The pipelines: composition of components and nothing else; what they run is in `slipway.steps`.

`compiled/` holds what is run and submitted (golden files, made by `python -m slipway.pipelines.compile`); `presets/` what
a preset changes of the defaults in the signatures.
"""
