"""Checkpoint to bundle: the ONNX graph, the temperature, self-test and drift reference, and the proof of parity.

Reading order: `onnx` (the step), `graph` and `tfidf_graph` (the graphs), `calibrate`, `reference`, `parity`.
Does not belong here: training, and answering (`slipway.bundle`).
"""
