"""What Kubernetes, KServe and S3 say, and what helps: tables of patterns, the first that fits counts."""

import re

Advice = tuple[tuple[str, str], ...]
"""Pattern in the message -> what to do; \\1 and the like are the pattern's groups."""

REFUSED: Advice = (
    (r"exceeded quota: ([-\w.]+)", r"raise ResourceQuota \1, or ask for less (resources, minReplicas)"),
    (
        r"failed quota: ([-\w.]+): must specify",
        r"ResourceQuota \1 wants requests and limits everywhere: add a LimitRange with defaults",
    ),
    (
        r"container \"storage-initializer\" must set",
        "give ClusterStorageContainer default a securityContext: slipway doctor cluster has the command",
    ),
    (r"violates PodSecurity \"(\w+)", r"set the fields that the message names: the namespace admits \1 pods only"),
    (r"serviceaccount \"?([-\w.]+)\"? not found", r"make ServiceAccount \1 (charts/slipway-platform does, per team)"),
    (r"failed calling webhook \"([-\w.]+)\"", r"the controller of webhook \1 does not answer: slipway doctor cluster"),
    (r"(maximum|minimum) (\w+) usage per (\w+)", r"stay within the namespace's LimitRange: \1 \2 per \3"),
    (r"denied the request", "change what the webhook names"),
)
"""Pods that may not be made."""

UNSCHEDULABLE: Advice = (
    (r"Insufficient ([-\w./]+)", r"ask for less \1 (spec.predictor.model.resources.requests), or add a node"),
    (r"untolerated taint\(?s?\)? ?\{([^}]*)\}", r"tolerate the taint {\1}, or free a node of it"),
    (r"persistentvolumeclaim \"([-\w.]+)\" not found", r"make PersistentVolumeClaim \1"),
    (r"unbound (immediate )?PersistentVolumeClaims", "is there a default storage class? slipway doctor cluster"),
    (
        r"node affinity|node selector|topology spread",
        "no node fits nodeSelector, affinity or spread: change them or label a node",
    ),
    (r"Too many pods", "add a node, or remove pods"),
)
"""Pods for which there is no node."""

CONFIGURATION: Advice = (
    (r"secret \"?([-\w./]+)\"? not found", r"make Secret \1 (charts/slipway-platform does, per team)"),
    (r"configmap \"?([-\w./]+)\"? not found", r"make ConfigMap \1 (charts/slipway-platform does, per team)"),
    (r"find key ([-\w.]+) in (\w+) ([-\w./]+)", r"add key \1 to \2 \3"),
    (r"runAsNonRoot and image (will run as root|has non-numeric user)", "use an image with a numeric USER other than 0"),
    (r"executable file not found|no such file or directory", "the image lacks that program: is it the image meant?"),
    (r"sandbox", "the node's network is not well: look at its CNI pods"),
)
"""Containers that cannot be made."""

KILLED: Advice = (
    (r"OOMKilled|exit code 137", "raise the step's memory (pipelines/resources.py), or take a smaller batch"),
    (r"deadline|DeadlineExceeded", "the step took longer than its timeout (pipelines/resources.py)"),
    (r"[Bb]ack-off pulling|ErrImagePull|InvalidImageName", "is the image in that registry or on the node? SLIPWAY_TRAIN_IMAGE"),
)
"""Pods of a run that ended, or that cannot start, as KFP tells of them."""

DOWNLOAD: Advice = (
    (r"HeadBucket", "KServe asks first whether the bucket is there: the credential's policy must let it"),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|\b403\b|Forbidden|[Aa]ccess ?[Dd]enied|Invalid AWS cred",
     "the pod's S3 credential is refused: mend its Secret"),
    (r"Unable to locate credentials|NoCredentials|authentication failed",
     "the ServiceAccount's Secret lacks AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY"),
    (r"Could not connect|Failed to (connect|resolve)|EndpointConnection|service not known|Connection refused|timed out",
     "the store cannot be reached from the pod: endpoint in the Secret's annotation, network policies"),
    (r"No model found|resource .*not found|does not exist|NoSuchKey|\b404\b|NoSuchBucket",
     "nothing is at storageUri: register the release again, or deploy another"),
    (r"No space left|ENOSPC", "the node's disk is full"),
    (r"OOMKilled", "raise the memory limit of the storage initializer (ConfigMap kserve/inferenceservice-config)"),
)  # fmt: skip
"""Init containers that fetch the model."""

SERVER: Advice = (
    (r"self-test", "the model does not answer on this machine as it did where it was exported: export it again, or roll back"),
    (r"altered|damaged|missing, though|not listed|no MANIFEST|cannot be read|not a complete artifact",
     "the release is corrupt: register it again, or roll back"),
    (r"is not signed|no signature|since the release was signed",
     "sign the release (SLIPWAY_MODEL_PRIVATE_KEY), or take the public key away"),
    (r"bundle format|upgrade slipway", "the server is older than the release: use a newer slipway-serve"),
    (r"unrecognized arguments|error: argument",
     "the server does not know that argument: runtime and image are of other versions"),
)  # fmt: skip
"""Servers that end."""


def advise(table: Advice, message: str, otherwise: str) -> str:
    """What to do about a message; `otherwise` when the table does not know it."""
    for pattern, advice in table:
        if match := re.search(pattern, message):
            return match.expand(advice)
    return otherwise
