"""Arguments and options that several verbs have alike."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="NAME (its champion), NAME@ALIAS, NAME:VERSION, or where a bundle or release is."),
]
Variant = Annotated[
    str, typer.Option(metavar="NAME", help="Of the bundle, such as onnxruntime-int8; default: what would be served.")
]
Source = Annotated[str, typer.Argument(metavar="DATASET|PATH", help="A known data set, or your own data, as for `run`.")]
TextColumn = Annotated[str, typer.Option(help="Column of the text in your own table.")]
LabelColumn = Annotated[str, typer.Option(help="Column of the label in your own table.")]
Recipe = Annotated[
    Path | None, typer.Option(metavar="FILE.yaml", help="Options of training, a line each: over the preset, below --set.")
]
OfData = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="size, image_px, train_fraction, validation_fraction, seed; repeatable."),
]
Namespace = Annotated[str, typer.Option("--namespace", "-n", help="Of the cluster; default: the one of the context.")]
Context = Annotated[str, typer.Option(help="Of the kubeconfig; default: its current one.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="Of each wait.")]
AsJson = Annotated[bool, typer.Option("--json", help="Exactly one JSON object on stdout.")]
