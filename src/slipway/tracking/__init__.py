"""The one door to MLflow. Belongs here: runs (parameters, metrics, files) and the registry (versions, aliases).

Does not belong here: artifacts of the product, which the store holds; MLflow gets numbers, the report, links and digests.
"""
