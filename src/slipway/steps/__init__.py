"""The steps of every pipeline: plain functions, paths and plain values in, paths out.

The same functions run in a test, in a notebook, in KFP's local runner and in a pod. Each writes its line of the run
record (`runs/<run id>/<step>.json` in the store) and leaves a complete output directory or none.

Does not belong here: how a step does its work, which is the business of the room it calls.
"""

from slipway.steps.dataset import prepare_data
from slipway.steps.judgement import evaluate, gate, refuse
from slipway.steps.learning import export_onnx, train
from slipway.steps.release import deploy_model, register_model

__all__ = ["deploy_model", "evaluate", "export_onnx", "gate", "prepare_data", "refuse", "register_model", "train"]
