"""`slipway generate`: write a generated data set as ordinary files, to look at or to try `--data` with."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    dataset: Annotated[str, typer.Argument(help="shapes, steel or reviews.")],
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    size: Annotated[int, typer.Option(min=0, help="Items; 0 means the set's own default.")] = 0,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal files.")] = 0,
) -> None:
    """Write a generated data set: images with a labels.csv, or texts.csv."""
    from slipway.data.datasets import DATASETS, open_dataset
    from slipway.data.export import write_folder
    from slipway.errors import NotFoundError, unknown

    generated = {name: entry for name, entry in DATASETS.items() if entry.generated_size}
    if dataset not in generated:
        raise NotFoundError(unknown("generated data set", dataset, generated))
    raw = open_dataset(dataset, family=generated[dataset].families[0], size=size, seed=seed)
    print(write_folder(raw, folder))
