"""KFP components: one file each, a typed signature and one call into `slipway.steps`.

Their source travels inside the compiled pipelines, so a body imports the installed package and nothing else here.
"""
