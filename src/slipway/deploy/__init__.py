"""From a release to a running service: the InferenceService as plain data, its application to a cluster, and a check by HTTP;
and training as a TrainJob, also plain data.

The only place besides `doctor` that may import the kubernetes client. Does not belong here: what a release is (bundle).
"""
