"""The model server: v2 codec, served models, routes, the documentation page, the process.

Works where torch, mlflow, kfp and pandas are not installed. Does not belong here: preprocessing and prediction (bundle).
"""
