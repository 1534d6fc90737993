"""Checkpoint to bundle: the ONNX graph, the temperature, self-test and drift reference, and the proof of parity.

Reading order: `onnx` (the step), `graph` and `tfidf_graph` (the graphs), `calibrate`, `reference`, `parity`;
then `tflite`, what a phone or a board runs, made of a bundle by `tflite_convert` in an environment of its own (`environment`).
Does not belong here: training, and answering (`slipway.bundle`).
"""
