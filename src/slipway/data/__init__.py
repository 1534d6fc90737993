"""Raw data to prepared data sets: readers of known sets and of the user's own, splits, checks, arrays.

Reading order: `raw` (what a reader yields), `datasets` (the table of known sets), `folders` and `tables` (the user's own),
`prepare` (raw data -> directory), `dataset` (that directory, opened).
Does not belong here: decoding and resizing (`slipway.preprocess`), augmentation and batching (`slipway.training`).
"""
