"""Networks and how to build, load and restore them: the tables FAMILIES and ARCHITECTURES, and their builders.

Reading order: `families`, `architectures` (the tables), `cnn`, `vision`, `text`, `linear` (the builders), `network` (what
wraps a network for raw pixels), `restore` (a checkpoint or bundle back to a model that answers).
Does not belong here: optimisation and augmentation (`slipway.training`), graphs (`slipway.export`).
"""
