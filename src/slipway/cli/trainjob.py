"""`slipway train --trainjob`: the same command as a Kubeflow TrainJob. What can be checked without a cluster is checked."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from slipway.errors import ConfigError
from slipway.settings import Settings


def rendered(
    name: str,
    *,
    data: str,
    out: str,
    preset: str,
    recipe: Path | None,
    values: Mapping[str, str],
    nodes: int,
    gpus_per_node: int,
    image: str,
    namespace: str,
    family: str,
    settings: Settings,
) -> str:
    """The TrainJob as YAML.

    Args:
        recipe: becomes `--set` options, since pods do not have the file.
        gpus_per_node: 0 takes the count of SLIPWAY_GPU.
        image: empty takes SLIPWAY_TRAIN_IMAGE.
        family: empty looks it up in the store.
    Raises: ConfigError, NotFoundError: an option, name, URI or image that would fail there. StoreError: see `described`.
    """
    import yaml

    from slipway.cli.prepared import described, fields
    from slipway.config import to_text
    from slipway.deploy import gpu as gpus
    from slipway.deploy import images
    from slipway.deploy.trainjob import train_job
    from slipway.models import architectures
    from slipway.runs.parameters import read_recipe
    from slipway.training.recipe import TrainConfig

    if "workers" in values:
        raise ConfigError("--set workers: a TrainJob has one process per GPU; say --nodes and --gpus-per-node instead")
    gpu = gpus.read(settings.gpu, own=settings.gpu_profiles)
    if gpus_per_node:
        gpu = replace(gpu or gpus.GpuProfile(resource="nvidia.com/gpu"), count=gpus_per_node)
    options = dict(values)

    def job() -> dict[str, object]:
        return train_job(
            name=name, data=data, checkpoint=out, image=image or images.train(settings), preset=preset, values=options,
            namespace=namespace, nodes=nodes, gpu=gpu,
        )  # fmt: skip

    job()  # names, URIs and image, before the store is asked
    known, called = (family, "") if family else described(data)
    config = TrainConfig(family=known, **fields(known, called, preset=preset, recipe=recipe, values=values))
    if architectures.find(config.resolved_architecture).input == "tfidf" and nodes * (gpu.count if gpu else 1) > 1:
        raise ConfigError(f"--trainjob: {config.resolved_architecture} trains in one process; give --nodes 1, or hf_encoder")
    if recipe:
        options = {option: to_text(value) for option, value in read_recipe(recipe, known).items()} | options
    return str(yaml.safe_dump(job(), sort_keys=False))
