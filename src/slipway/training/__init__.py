"""Data set and configuration to a checkpoint: one loop, with what varies passed in.

Reading order: `recipe` (the configuration), `train` (data set in, checkpoint out), `loop` (the epochs), `batches` and `augment`
(what it is fed), `optim`, `checkpoint` (how a killed run goes on), `text` (TF-IDF and encoders), `history` (what is told).
Does not belong here: networks (`slipway.models`), tracking (an `on_epoch` observer is passed in), graphs (`slipway.export`).
"""
