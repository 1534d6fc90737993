"""The only place of ours that reads the environment.

Variables that libraries own, and that we pass through untouched:
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION   S3 credentials (minio, boto3)
    MLFLOW_RUN_ID, MLFLOW_EXPERIMENT_ID                                      set by KFP's MLflow plugin (mlflow)
    KUBECONFIG                                                               the cluster (kubernetes)
    HF_HOME, HF_HUB_OFFLINE                                                  hub cache (transformers)
    HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE              the way to a model server elsewhere (httpx)
    OMP_NUM_THREADS, OMP_WAIT_POLICY                                         threads of numeric libraries (torch)
    MASTER_ADDR, MASTER_PORT, WORLD_SIZE, LOCAL_RANK                         set by torchrun: where processes meet (torch)
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the environment says. Every field has a variable, named in its line."""

    home: Path
    """SLIPWAY_HOME: everything of a laptop's runs that is not told to be elsewhere. Default ~/.slipway."""
    store: str
    """SLIPWAY_STORE: a directory or s3://bucket/prefix that holds releases and run records. Default <home>/store."""
    s3_endpoint: str
    """AWS_ENDPOINT_URL: the S3 server, such as http://127.0.0.1:9000. Default: AWS itself."""
    tracking_uri: str
    """MLFLOW_TRACKING_URI: the MLflow server or database. Default sqlite:///<home>/mlflow.db. SLIPWAY_TRACKING_URI is the same
    in a pipeline's pod, whose MLFLOW_TRACKING_URI belongs to KFP's MLflow plugin where that is on."""
    data: Path | None
    """SLIPWAY_DATA: the folder that holds the real data sets. Default: none; they are downloaded where the loader can."""
    run_id: str
    """SLIPWAY_RUN_ID: set by the local runner, so that its steps share one run record. Default: KFP's run id."""
    kfp_host: str
    """SLIPWAY_KFP_HOST: the KFP API server, such as http://localhost:8888. Default: none."""
    kfp_namespace: str
    """SLIPWAY_KFP_NAMESPACE: the namespace of runs in a multi-user KFP. Default: none."""
    kfp_service_account: str
    """SLIPWAY_KFP_SERVICE_ACCOUNT: account of the pods of runs, slipway-run in a team's namespace. Default: KFP's own."""
    gpu: str
    """SLIPWAY_GPU: GPUs of the training step on a cluster: a profile's name or a resource, such as nvidia.com/gpu=1.
    Default: none."""
    gpu_profiles: Path | None
    """SLIPWAY_GPU_PROFILES: a YAML file of GPU profiles beside those of `deploy/gpu.yaml`. Default: none."""
    train_image: str
    """SLIPWAY_TRAIN_IMAGE: the slipway-train image by digest or version, put in at submission. Default: that of `images`."""
    images: Path | None
    """SLIPWAY_IMAGES: a values file that lists images, such as manifests/images.lock.yaml. Default: none."""
    serve_image: str
    """SLIPWAY_SERVE_IMAGE: the slipway-serve image by digest, named by InferenceServices. Default: the runtime's own."""
    gateway: str
    """SLIPWAY_GATEWAY: NAMESPACE/NAME of the Gateway through which served models are reached. Default: none; they have no
    route of ours."""
    gateway_domain: str
    """SLIPWAY_GATEWAY_DOMAIN: a model's host there is MODEL.NAMESPACE.DOMAIN. Default: none."""
    gateway_timeout_s: int
    """SLIPWAY_GATEWAY_TIMEOUT_S: of a request there, in seconds; 0 for gateways that know no timeouts. Default 60."""
    server_token: str
    """SLIPWAY_SERVER_TOKEN: the bearer token that requests to the model server must carry, and that ours do carry.
    Default: none is asked for, none is sent."""
    threads: int
    """SLIPWAY_THREADS: threads of onnxruntime and torch. Default: the cores this process may use, shared fairly with those
    that torchrun started beside it (LOCAL_WORLD_SIZE)."""
    model_private_key: Path | None
    """SLIPWAY_MODEL_PRIVATE_KEY: a PEM file; `register` signs releases with it. Default: none; they are not signed."""
    model_public_key: Path | None
    """SLIPWAY_MODEL_PUBLIC_KEY: a PEM file; only releases that its owner signed are served. Default: none; all are."""
    rank: int
    """RANK, where torchrun started this process: only 0 writes and prints. Default 0."""


def load(env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `env` (the process environment by default).

    Raises: ConfigError: one of them is no whole number in its range.
    """
    env = os.environ if env is None else env
    home = Path(env.get("SLIPWAY_HOME") or Path.home() / ".slipway").expanduser().absolute()
    launched = "TORCHELASTIC_RUN_ID" in env  # by torchrun; others set RANK too, and mean something else
    beside = int(env.get("LOCAL_WORLD_SIZE", 1)) if launched else 1
    threads = _whole(env, "SLIPWAY_THREADS", max(1, len(os.sched_getaffinity(0)) // beside), least=1)
    return Settings(
        home=home,
        store=env.get("SLIPWAY_STORE") or str(home / "store"),
        s3_endpoint=env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or "",
        tracking_uri=env.get("MLFLOW_TRACKING_URI") or env.get("SLIPWAY_TRACKING_URI") or f"sqlite:///{home / 'mlflow.db'}",
        data=_path(env, "SLIPWAY_DATA"),
        run_id=env.get("SLIPWAY_RUN_ID", ""),
        kfp_host=env.get("SLIPWAY_KFP_HOST", ""),
        kfp_namespace=env.get("SLIPWAY_KFP_NAMESPACE", ""),
        kfp_service_account=env.get("SLIPWAY_KFP_SERVICE_ACCOUNT", ""),
        gpu=env.get("SLIPWAY_GPU", ""),
        gpu_profiles=_path(env, "SLIPWAY_GPU_PROFILES"),
        train_image=env.get("SLIPWAY_TRAIN_IMAGE", ""),
        images=_path(env, "SLIPWAY_IMAGES"),
        serve_image=env.get("SLIPWAY_SERVE_IMAGE", ""),
        gateway=env.get("SLIPWAY_GATEWAY", ""),
        gateway_domain=env.get("SLIPWAY_GATEWAY_DOMAIN", ""),
        gateway_timeout_s=_whole(env, "SLIPWAY_GATEWAY_TIMEOUT_S", 60, least=0),
        server_token=env.get("SLIPWAY_SERVER_TOKEN", ""),
        threads=threads,
        model_private_key=_path(env, "SLIPWAY_MODEL_PRIVATE_KEY"),
        model_public_key=_path(env, "SLIPWAY_MODEL_PUBLIC_KEY"),
        rank=int(env.get("RANK", 0)) if launched else 0,
    )


def _whole(env: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    from slipway.errors import ConfigError

    text = env.get(name) or str(default)
    if not text.isdigit() or int(text) < least:
        raise ConfigError(f"{name}: must be a whole number >= {least}, got '{text}'")
    return int(text)


def _path(env: Mapping[str, str], name: str) -> Path | None:
    return Path(env[name]).expanduser().absolute() if env.get(name) else None
