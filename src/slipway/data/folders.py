"""The user's own data: a folder of class-named folders, or a table."""

import os
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from slipway.data.raw import KINDS, Item, LazyItems, RawData, slug
from slipway.data.tables import READERS, open_image_paths, open_texts
from slipway.errors import ConfigError, DataError, unknown

SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
"""Folder name -> official split."""
NO_IMAGE = frozenset({".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".db", ".ini"})
"""Suffixes that lie beside images; any other file is read as an image, and listed when it is none."""


def open_path(
    path: Path, *, family: str, text_column: str = "", label_column: str = "", slice_columns: Sequence[str] = ()
) -> RawData:
    """Open the user's own data for a model family.

    Args:
        path: for images a folder of class-named folders, a folder with labels.csv, or such a table; for texts a table.
        text_column: the table's column of texts, or of image paths; empty takes the first usual name that is there.
        label_column: the table's column of class names; empty likewise.
        slice_columns: columns of the table whose values are slices that a model is judged on.
    Raises: DataError: not there, of no known form, a class without images, a column or an image missing.
    """
    if family not in KINDS:
        raise ConfigError(unknown("family", family, KINDS))
    if not path.exists():
        near = get_close_matches(path.name, _names(path.absolute().parent), n=1)
        raise DataError(f"{path}: does not exist{f'; did you mean {path.with_name(near[0])}?' if near else ''}")
    if path.is_file() and path.suffix.lower() not in READERS:
        raise DataError(f"{path}: unsupported data file '{path.suffix}'; allowed: {', '.join(READERS)}, or a folder of images")
    if KINDS[family] == "text":
        if path.is_dir():
            tables = [n for n in _names(path) if Path(n).suffix.lower() in READERS]
            hint = f"; did you mean {path / tables[0]}?" if tables else ""
            raise DataError(f"{path}: is a folder; family {family} takes a table ({', '.join(READERS)}){hint}")
        return open_texts(path, text_column=text_column, label_column=label_column, slice_columns=slice_columns)
    table = path / "labels.csv" if path.is_dir() and (path / "labels.csv").is_file() else path
    if table.is_file():
        return open_image_paths(table, image_column=text_column, label_column=label_column, slice_columns=slice_columns)
    if text_column or label_column or slice_columns:
        raise DataError(f"{path}: is a folder of class folders; columns can be named for tables only, such as a labels.csv")
    return open_images(path)


def open_images(folder: Path) -> RawData:
    """A folder of class-named folders; or one of train/ and test/ (or val/) that are such folders: official splits.

    With val/ alone beside train/, it is the test split.

    Raises: DataError: no class folders, an empty one, or a class that train/ lacks.
    """
    names = [p.name for p in _subfolders(folder)]
    splits = {name: SPLITS[name.lower()] for name in names if name.lower() in SPLITS}
    if not names:
        found = next(files_below(folder), None)
        what = f"images, such as {found.name}, but no class folders" if found else "no class folders"
        raise DataError(f"{folder}: holds {what}; make a folder per class, or a labels.csv with columns image and label")
    files: list[tuple[Path, str, str]] = []
    if len(splits) == len(names) > 1 and "train" in splits.values():
        if "test" not in splits.values():
            splits = {name: "test" if split == "validation" else split for name, split in splits.items()}
        for name, split in splits.items():
            files += [(path, label, split) for path, label in _class_files(folder / name)]
        labels = sorted({label for _, label, _ in files})
        if missing := sorted(set(labels) - {label for _, label, split in files if split == "train"}):
            raise DataError(f"{folder}: class '{missing[0]}' has no folder below train/; a model cannot learn it")
    else:
        files = [(path, label, "") for path, label in _class_files(folder)]
        labels = sorted({label for _, label, _ in files})

    def make(i: int) -> Item:
        path, label, split = files[i]
        return Item(path.read_bytes(), label, path.relative_to(folder).as_posix(), split)

    name = slug(folder.absolute().name)
    return RawData(name=name, kind="image", labels=tuple(labels), items=LazyItems(len(files), make))


def _class_files(folder: Path) -> list[tuple[Path, str]]:
    files = []
    for class_folder in _subfolders(folder):
        found = [(path, class_folder.name) for path in sorted(files_below(class_folder))]
        if not found:
            raise DataError(f"{class_folder}: class folder without images; add some or remove it")
        files += found
    if not files:
        raise DataError(f"{folder}: holds no class folders; make one per class")
    return files


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "__", "@")))


def files_below(folder: Path, fits: Callable[[str], bool] = lambda suffix: suffix not in NO_IMAGE) -> Iterator[Path]:
    """Files at any depth, by name within each folder; hidden ones and folders that file managers leave are passed over.

    Args:
        fits: tells by the suffix, in lower case, whether a file is wanted; by default whatever may be an image.
    """
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith((".", "__", "@")))
        for name in sorted(names):
            if not name.startswith(".") and fits(Path(name).suffix.lower()):
                yield Path(base, name)


def _names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []
