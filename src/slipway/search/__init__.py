"""Choosing among models: `compare` (candidates side by side), `tune` (an Optuna study). The only room that imports optuna.

Both train with the functions that the pipeline's steps call, on one prepared data set, and register nothing. What is chosen is
chosen on the validation split; the test split is read only where the caller asks for it.
Does not belong here: training itself, scores (`slipway.evaluation`), the gate's comparison with a champion.
"""
