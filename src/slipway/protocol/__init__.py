"""The Open Inference Protocol (v2) as both ends speak it: tensors, JSON with and without bytes behind it, gRPC's messages.

Does not belong here: what a model makes of the tensors (server), connections and retries (client).
"""
