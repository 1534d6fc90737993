"""The ladder: from one trained bundle to smaller and faster variants, each measured against it on the same items.

Reading order: `ladder` (the rungs, the budget, what is written), `variants` (how a rung's graph is made), `measure`.
Does not belong here: how a graph is quantised (`slipway.export`), and the gate's choice (`slipway.evaluation`).
"""
