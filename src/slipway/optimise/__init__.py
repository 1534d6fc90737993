"""The ladder: from one trained bundle to smaller and faster variants, each measured against it on the same items.

Reading order: `ladder` (the rungs, the budget, what is written), `int8` (how that graph is made), `judge` (on validation).
Does not belong here: how a graph is quantised (`slipway.export`), what is measured on the test split and in which order
variants are served (`slipway.evaluation.variants`), and what runs them (`slipway.engines`).
"""
