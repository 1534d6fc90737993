"""Raw data to prepared data sets: what is written, and what is refused."""

import json

import numpy as np
import pytest

from slipway.data.dataset import Dataset
from slipway.data.folders import open_images, open_path
from slipway.data.prepare import PrepareConfig, prepare
from slipway.data.raw import Item, RawData
from slipway.errors import BundleError, ConfigError, DataError
from slipway.preprocess.image import decode
from slipway.store import files
from tests.unit.data.pictures import encoded

CV = PrepareConfig(family="cv", image_px=16)
NLP = PrepareConfig(family="nlp")
SPLITS = ("train", "validation", "test")


def images(items, labels=("a", "b"), **options) -> RawData:
    return RawData(name="some", kind="image", labels=labels, items=items, **options)


def texts(items, labels=("a", "b")) -> RawData:
    return RawData(name="some", kind="text", labels=labels, items=items)


def many_images(count=60, **options):
    return [Item(encoded(i, **options), "ab"[i % 2], f"{i}.png") for i in range(count)]


def many_texts(count=100, split=""):
    return [Item(f"text number {i}", "ab"[i % 2], f"row {i}", split) for i in range(count)]


def where(dataset):
    return {source: split for split in SPLITS for source in dataset.sources(split)}


def total(dataset):
    return sum(sum(per_label.values()) for per_label in dataset.counts.values())


MODES = [
    {"mode": "RGB", "suffix": "JPEG"},
    {"mode": "L", "suffix": "PNG"},
    {"mode": "RGBA", "suffix": "PNG"},
    {"mode": "P", "suffix": "PNG"},
    {"mode": "CMYK", "suffix": "JPEG"},
    {"mode": "1", "suffix": "TIFF"},
    {"mode": "LA", "suffix": "PNG"},
]


@pytest.mark.parametrize("options", MODES, ids=lambda o: o["mode"])
@pytest.mark.parametrize("family", ["cv", "defect"])
def test_test_arrays_are_the_preprocessing_of_the_kept_bytes(options, family, tmp_path):
    items = many_images(40, **options)
    dataset = prepare(images(items), tmp_path / "out", PrepareConfig(family=family, image_px=24))
    arrays, labels = dataset.arrays("test")
    raw = dataset.raw("test")
    assert len(raw) == len(arrays) == len(labels) == len(dataset.ids("test")) > 0
    np.testing.assert_array_equal(dataset.preprocess.encode(raw)["image"], arrays)
    originals = {item.source: item for item in items}
    for source, kept, label in zip(dataset.sources("test"), raw, labels, strict=True):
        assert originals[source].content == kept
        assert originals[source].label == dataset.labels[label]


def test_pixels_are_kept_as_lossless_png(tmp_path):
    rng = np.random.default_rng(0)
    for channels in (1, 3):
        pixels = [rng.integers(0, 256, (12, 10, channels), dtype=np.uint8) for _ in range(60)]
        raw = images([Item(p, "ab"[i % 2], str(i)) for i, p in enumerate(pixels)])
        dataset = prepare(raw, tmp_path / f"out{channels}", CV)
        for source, png in zip(dataset.sources("test"), dataset.raw("test"), strict=True):
            assert np.asarray(decode(png)).reshape(12, 10, channels).tolist() == pixels[int(source)].tolist()
        np.testing.assert_array_equal(dataset.preprocess.encode(dataset.raw("test"))["image"], dataset.arrays("test")[0])


def test_equal_data_gives_equal_bytes_in_any_order_with_any_threads(parts, tmp_path):
    raw = open_images(parts)
    backwards = images(list(raw.items)[::-1], raw.labels)
    backwards = RawData(name=raw.name, kind="image", labels=raw.labels, items=backwards.items)
    digests = set()
    for i, (data, threads) in enumerate([(raw, 1), (raw, 4), (backwards, 2)]):
        prepare(data, tmp_path / str(i), CV, threads=threads)
        digests.add(files.verify(tmp_path / str(i)).digest)
    assert len(digests) == 1


def test_fingerprint_is_the_same_at_every_image_size_and_not_with_another_seed(parts, tmp_path):
    raw = open_images(parts)
    small = prepare(raw, tmp_path / "small", CV)
    large = prepare(raw, tmp_path / "large", PrepareConfig(family="defect", image_px=32, fit="stretch"))
    other = prepare(raw, tmp_path / "other", PrepareConfig(family="cv", image_px=16, seed=1))
    assert small.fingerprint == large.fingerprint != other.fingerprint


def test_added_items_move_no_others(tmp_path):
    items = many_images(80)
    before = where(prepare(images(items[:50]), tmp_path / "before", CV))
    after = where(prepare(images(items[::-1]), tmp_path / "after", CV))
    assert {source: after[source] for source in before} == before


def test_duplicates_stay_together_and_have_ids_of_their_own(tmp_path):
    items = many_images(40)
    again = [Item(i.content, i.label, f"copy of {i.source}") for i in items]
    as_bmp = [Item(encoded(i, suffix="BMP"), "ab"[i % 2], f"bmp of {i}.png") for i in range(40)]
    dataset = prepare(images(items + again + as_bmp), tmp_path / "out", CV)
    places = where(dataset)
    assert all(places[s] == places[f"copy of {s}"] == places[f"bmp of {s}"] for s in (i.source for i in items))
    ids = [i for split in SPLITS for i in dataset.ids(split)]
    assert len(set(ids)) == 120
    assert sorted(i.partition("-")[2] for i in ids) == [""] * 40 + ["1"] * 40 + ["2"] * 40
    assert dataset.meta["duplicates"] == 80


def test_official_test_items_stay_and_train_is_dealt_to_train_and_validation(tmp_path):
    raw = texts([*many_texts(200, "train"), Item("another", "a", "t", "test"), Item("text number 0", "b", "u", "test")])
    dataset = prepare(raw, tmp_path / "out", NLP)
    assert sorted(dataset.texts("test")) == ["another", "text number 0"]
    assert 0 < len(dataset.texts("validation")) < 60
    assert dataset.meta["official_splits"] == ["test", "train"]
    assert dataset.meta["test_items_also_in_train"] == int("text number 0" in dataset.texts("train"))


def test_official_validation_items_leave_train_whole(tmp_path):
    items = [*many_texts(60, "train"), Item("v", "a", "v", "validation"), Item("t", "b", "t", "test")]
    dataset = prepare(texts(items), tmp_path / "out", NLP)
    assert [len(dataset.texts(split)) for split in SPLITS] == [60, 1, 1]


def test_texts_come_back_as_they_were(tmp_path):
    odd = [
        'quote " and, comma',
        "two\nlines",
        "carriage\rreturn",
        "both\r\n",
        "tab\t",
        "naïve 漢字 🙂",
        "nul\0",
        " blanks ",
        "-",
    ]
    items = [Item(text, "ab"[i % 2], str(i), "test") for i, text in enumerate(odd)]
    dataset = prepare(texts(items + many_texts(60, "train")), tmp_path / "out", NLP)
    assert sorted(dataset.texts("test")) == sorted(odd)
    assert [raw.decode() for raw in dataset.raw("test")] == dataset.texts("test")
    assert all(
        dataset.labels[i] == "ab"[odd.index(t) % 2]
        for i, t in zip(dataset.label_indices("test"), dataset.texts("test"), strict=True)
    )


def test_item_hashes_are_the_start_of_the_ids(tmp_path):
    dataset = prepare(texts(many_texts()), tmp_path / "out", NLP)
    hashes = dataset.item_hashes("train")
    assert hashes.dtype == np.uint64
    assert [f"{h:016x}" for h in hashes] == dataset.ids("train")
    assert (np.diff(hashes.astype(object)) > 0).all()


def test_manifest_has_counts_balance_and_how_it_was_made(parts, tmp_path):
    dataset = prepare(open_images(parts), tmp_path / "out", CV)
    meta = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert total(dataset) == 60
    assert meta["class_balance"] == {"good": 0.5, "scratched": 0.5}
    assert meta["config"]["train_fraction"] == 0.8
    assert meta["preprocess"]["kind"] == "image"
    assert meta["name"] == "my-parts"
    assert Dataset.load(tmp_path / "out", verify=True) == dataset
    assert not list((tmp_path / "out").glob("*.partial"))


@pytest.mark.parametrize(
    ("size", "expected"), [((200, 30), 32), ((10, 300), 32), ((75, 90), 80), ((200, 180), 128), ((64, 64), 64)]
)
def test_automatic_image_size_follows_the_shorter_side(size, expected, tmp_path):
    broken = [Item(b"broken", "a", "broken")]
    dataset = prepare(images(broken + many_images(30, size=size)), tmp_path / "out", PrepareConfig(family="cv"))
    assert dataset.preprocess.shape == (expected, expected, 3)
    assert total(dataset) == 30


def test_unreadable_images_are_left_out_and_listed(parts, tmp_path):
    (parts / "good" / "0.png").write_bytes(b"no image")
    (parts / "scratched" / "1.png").write_bytes(encoded(1001)[:200])
    (parts / "good" / "movie.gif").write_bytes(b"GIF89a")
    dataset = prepare(open_images(parts), tmp_path / "out", CV)
    assert [s["source"] for s in dataset.meta["skipped"]] == ["good/0.png", "good/movie.gif", "scratched/1.png"]
    assert "not an image" in dataset.meta["skipped"][0]["reason"]
    assert total(dataset) == 58


def test_too_many_unreadable_images_are_an_error_that_names_some(parts, tmp_path):
    for i in range(3):
        (parts / "good" / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(
        DataError, match=r"'my-parts': more than 2 unreadable images \(max_unreadable\); good/0.png: not an image"
    ):
        prepare(open_images(parts), tmp_path / "out", PrepareConfig(family="cv", image_px=16, max_unreadable=2))
    assert [p.name for p in tmp_path.iterdir()] == ["My Parts"]


def test_class_whose_images_are_all_unreadable_is_refused(parts, tmp_path):
    for path in (parts / "good").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(DataError, match="class 'good' has no readable item"):
        prepare(open_images(parts), tmp_path / "out", PrepareConfig(family="cv", image_px=16, max_unreadable=99))


def test_file_that_vanished_is_named(parts, tmp_path):
    raw = open_images(parts)
    (parts / "good" / "0.png").unlink()
    with pytest.raises(DataError, match=r"cannot read .*good/0.png \(No such file"):
        prepare(raw, tmp_path / "out", CV)


def test_one_class_only_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"'some': one class only \(a\)"):
        prepare(texts([Item("x", "a", "1")], ("a",)), tmp_path / "out", NLP)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "empty text"), (" \n", "empty text"), ("\ud800", "surrogates not allowed"), ("x" * 1_000_001, "1000001 char")],
)
def test_unusable_text_names_its_row(content, reason, tmp_path):
    with pytest.raises(DataError, match=f"'some', row 7: .*{reason}"):
        prepare(texts([*many_texts(), Item(content, "a", "row 7")]), tmp_path / "out", NLP)


@pytest.mark.parametrize(("count", "split"), [(3, "validation|test"), (0, "")])
def test_empty_split_says_how_many_items_there_are(count, split, tmp_path):
    expected = (
        f"the ({split}) split is empty, of {count} items at 0.8 train and 0.1 validation" if count else "class 'a' has no"
    )
    with pytest.raises(DataError, match=expected):
        prepare(texts(many_texts(count)), tmp_path / "out", NLP)


def test_class_that_train_never_sees_is_refused(tmp_path):
    items = [*many_texts(60, "train"), Item("only here", "c", "x", "test")]
    with pytest.raises(DataError, match="class 'c' has no item in the train split, of 1 in all"):
        prepare(texts(items, ("a", "b", "c")), tmp_path / "out", NLP)


@pytest.mark.parametrize(("family", "raw"), [("nlp", images(many_images(4))), ("cv", texts(many_texts(4)))])
def test_data_of_the_other_kind_is_refused(family, raw, tmp_path):
    with pytest.raises(DataError, match=f"family {family} takes"):
        prepare(raw, tmp_path / "out", PrepareConfig(family=family))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_fraction": 0.0}, "train_fraction: must be above 0 and below 1, got 0.0"),
        ({"validation_fraction": 1.5}, "validation_fraction: must be above 0"),
        ({"train_fraction": float("nan")}, "train_fraction: must be"),
        ({"train_fraction": 0.8, "validation_fraction": 0.2}, "must be below 1, the rest is the test split; got 0.8"),
        ({"max_unreadable": -1}, "max_unreadable: must be 0"),
        ({"family": "cvv"}, "unknown 'cvv'; did you mean 'cv'"),
    ],
)
def test_config_out_of_range_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        PrepareConfig(**{"family": "cv", **options})


def test_image_size_out_of_range_is_refused(parts, tmp_path):
    with pytest.raises(ConfigError, match="8 to 1024, got 4"):
        prepare(open_images(parts), tmp_path / "out", PrepareConfig(family="cv", image_px=4))


def test_directory_that_is_no_data_set_is_refused(parts, tmp_path):
    with pytest.raises(DataError, match=r"no MANIFEST\.json"):
        Dataset.load(parts)
    with files.atomic_dir(tmp_path / "bundle") as scratch:
        (scratch / "bundle.json").write_text("{}")
    with pytest.raises(DataError, match=r"no dataset\.json"):
        Dataset.load(tmp_path / "bundle")


def test_altered_data_set_is_refused_when_verified(parts, tmp_path):
    path = prepare(open_images(parts), tmp_path / "out", CV).path
    with (path / "train_labels.npy").open("ab") as f:
        f.write(b"x")
    Dataset.load(path)
    with pytest.raises(DataError, match=r"train_labels.npy: altered") as info:
        Dataset.load(path, verify=True)
    assert isinstance(info.value.__cause__, BundleError)


def test_what_a_data_set_does_not_have_is_named(parts, tmp_path):
    dataset = prepare(open_images(parts), tmp_path / "images", CV)
    with pytest.raises(DataError, match="kept for the test split only, not for train"):
        dataset.raw("train")
    with pytest.raises(DataError, match="a data set of images, asked for texts"):
        dataset.texts("train")
    with pytest.raises(DataError, match="unknown 'tset'; did you mean 'test'"):
        dataset.arrays("tset")
    with pytest.raises(DataError, match="a data set of texts, asked for images"):
        prepare(texts(many_texts()), tmp_path / "texts", NLP).arrays("train")


def test_raw_bytes_are_read_by_position_and_slice(parts, tmp_path):
    raw = prepare(open_images(parts), tmp_path / "out", CV).raw("test")
    everything = list(raw)
    assert raw[1:3] == everything[1:3]
    assert raw[-1] == everything[-1]
    with pytest.raises(IndexError):
        raw[len(raw)]


def test_long_work_says_how_far_it_is(parts, tmp_path, monkeypatch):
    monkeypatch.setattr("slipway.data.progress.EVERY_S", 0.0)
    lines = []
    prepare(open_path(parts, family="cv"), tmp_path / "out", CV, progress=lines.append)
    assert lines[-1] == "prepare my-parts: 60 of 60 items"


def test_slices_of_a_split_are_its_items_by_value(tmp_path):
    odd = {"a": 'eins, "zwei"', "b": "大\n=3", "": ""}
    values = list(odd.items())
    items = [Item(f"text {i}", "ab"[i % 2], f"row {i}", slices=values[i % 3]) for i in range(300)]
    raw = RawData(name="some", kind="text", labels=("a", "b"), items=items, slice_columns=("k", "long"))
    dataset = prepare(raw, tmp_path / "out", NLP)
    for split in SPLITS:
        numbers = np.array([int(text.split()[1]) for text in dataset.texts(split)])
        found = dataset.slices(split)
        assert list(found) == ["k=a", "k=b", 'long=eins, "zwei"', "long=大\n=3"]
        for name, at in zip(found, (0, 1, 0, 1), strict=True):
            assert found[name].dtype == bool
            np.testing.assert_array_equal(found[name], numbers % 3 == at)
    plain = prepare(texts([Item(i.content, i.label, i.source) for i in items]), tmp_path / "plain", NLP)
    assert plain.slices("test") == {}
    assert plain.fingerprint == dataset.fingerprint
    assert {p.name for p in dataset.path.iterdir()} - {p.name for p in plain.path.iterdir()} == {
        f"{s}_slices.csv" for s in SPLITS
    }


def test_slices_of_images_follow_their_images_through_the_hash_order(tmp_path):
    items = [Item(i.content, i.label, i.source, slices=(str(n % 2),)) for n, i in enumerate(many_images(40))]
    dataset = prepare(images(items, slice_columns=("camera",)), tmp_path / "out", CV)
    odd = [int(source.removesuffix(".png")) % 2 == 1 for source in dataset.sources("train")]
    assert dataset.slices("train")["camera=1"].tolist() == odd
