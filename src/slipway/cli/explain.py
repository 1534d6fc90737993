"""`slipway explain`: what of an item a model's answer rests on."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slipway.cli.flags import AsJson, Model

if TYPE_CHECKING:
    from slipway.explain.explanation import Explanation

Option = typer.Option


def command(
    model: Model,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="An image, or a file that is one text.")] = None,
    text: Annotated[str | None, Option(metavar="TEXT", help="A text instead of a file.")] = None,
    target: Annotated[str, Option(metavar="CLASS", help="The class to explain; default: the model's answer.")] = "",
    out: Annotated[Path | None, Option("-o", "--out", metavar="FILE.png", help="Picture: the image under its heatmap.")] = None,
    method: Annotated[str, Option(help="auto, or of images: cam, occlusion.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Tell what of an item the answer rests on.

    Of an image -o draws it: the class activation map that is in the model's graph (cam), or, slower and for every
    network, what the answer loses when patches are covered (occlusion). Of a text each word is left out.
    """
    from slipway import references
    from slipway import settings as settings_
    from slipway.cli.output import written
    from slipway.errors import ConfigError, DataError
    from slipway.explain.explanation import explain
    from slipway.explain.picture import overlay

    if (file is None) == (text is None):
        raise ConfigError("explain: give one item, a FILE or --text")
    if out and out.suffix.lower() != ".png":
        raise ConfigError(f"-o {out}: must end in .png")
    found, bundle = references.open_model(model, settings_.load())
    of_images = bundle.preprocess.input_name == "image"
    if of_images and file is None:
        raise ConfigError(f"--text: {found} answers images; give a FILE")
    if out and not of_images:
        raise ConfigError(f"-o {out}: {found} answers texts, which have no picture; --json writes the words' numbers")
    try:
        raw = text if file is None else file.read_bytes()
    except OSError as exc:
        raise DataError(f"{file}: cannot be read ({exc.strerror or exc})") from exc
    assert raw is not None
    try:
        told = explain(bundle, [raw], target=target or None, method=method)[0]
    except DataError as exc:
        raise DataError(f"{file or '--text'}: {str(exc).removeprefix('item 0: ')}") from exc
    if out and told.heatmap_HW is not None:
        with written(out):
            overlay(bundle.preprocess.encode([raw])["image"][0], told.heatmap_HW).save(out)
    if as_json:
        print(json.dumps({"model": str(found), **_json(told, bundle.labels)}, ensure_ascii=False))
        return
    scale = "a cell adds at most {} to its logit" if told.method == "cam" else "the largest fall of its log-odds is {}"
    print(f"{told.label} {told.probability:.1%}, by {found}; {told.method}: {scale.format(f'{told.largest:.3g}')}")
    if out:
        print(out)
    if told.attributions_T is not None:
        from slipway.cli.table import show

        rows = zip((f"{value:+.3f}" for value in told.attributions_T), (t.text for t in told.tokens), strict=True)
        show(["fall", "word"], rows, empty="The text has no words.")


def _json(told: "Explanation", labels: Sequence[str]) -> dict[str, Any]:
    value: dict[str, Any] = {
        "label": told.label,
        "probabilities": dict(zip(labels, map(float, told.probabilities_K), strict=True)),
        "method": told.method,
        "largest": told.largest,
    }
    if told.heatmap_HW is not None:
        return value | {"heatmap": told.heatmap_HW.tolist()}
    assert told.attributions_T is not None
    pairs = zip(told.tokens, told.attributions_T, strict=True)
    return value | {"words": [{"text": t.text, "start": t.start, "end": t.end, "fall": float(v)} for t, v in pairs]}
