"""What a model is called where nobody says."""

from slipway.bundle import Bundle


def default(family: str, dataset: str) -> str:
    """Name of a family's model of a data set; without underscores, since it is to be a Kubernetes name, too."""
    return f"{family}-{dataset}".replace("_", "-")


def of_bundle(bundle: Bundle) -> str:
    """Name of the model that a bundle is, by the data it was trained on."""
    return default(bundle.family, bundle.meta["data"]["name"])
