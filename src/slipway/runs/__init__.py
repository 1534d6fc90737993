"""Runs of pipelines: their record, their parameters, and the two places they run in.

What a step does is in `slipway.steps`; what a pipeline looks like in `slipway.pipelines`.
kfp is imported inside functions only.
"""
