"""Artifacts by URI. Belongs here: atomic checksummed directories, the local and the S3 store.

Does not belong here: what an artifact means. The only room that imports the minio client.
"""
