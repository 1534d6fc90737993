"""The table of known data sets."""

import os
import subprocess
import sys

import numpy as np
import pytest

from slipway.data.datasets import DATASETS, open_dataset
from slipway.data.noise import GROUP
from slipway.data.prepare import PrepareConfig, prepare
from slipway.data.raw import KINDS
from slipway.errors import ConfigError, DataError, NotFoundError
from slipway.preprocess.image import decode

GENERATED = [name for name, entry in DATASETS.items() if entry.generated_size]
EMBEDDED = ["digits", *GENERATED]
ELSEWHERE = {"neu_cls": "NEU-CLS/<class>/*.jpg", "imdb": "aclImdb_v1.tar.gz", "sst2": "SST-2.zip"}


def items_of(name, **options):
    return list(open_dataset(name, family=DATASETS[name].families[0], **options).items)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_set_has_the_promised_items_of_every_class(name):
    raw = open_dataset(name, family=DATASETS[name].families[0])
    items = list(raw.items)
    assert len(items) == (DATASETS[name].generated_size or 1797)
    assert {item.label for item in items} == set(raw.labels)
    assert raw.image_px == DATASETS[name].image_px


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_set_prepares_with_every_class_in_train(name, tmp_path):
    family = DATASETS[name].families[0]
    dataset = prepare(open_dataset(name, family=family), tmp_path / "out", PrepareConfig(family=family))
    assert dataset.name == name
    assert set(dataset.counts["train"]) == set(dataset.labels)
    assert dataset.meta["skipped"] == []
    if dataset.kind == "image":
        assert dataset.arrays("train")[0].shape[1:] == (DATASETS[name].image_px,) * 2 + (1 if family == "defect" else 3,)


@pytest.mark.parametrize("name", GENERATED)
def test_generated_set_follows_the_seed_and_grows_at_the_end(name):
    def contents(**options):
        return [bytes(i.content) if not isinstance(i.content, str) else i.content for i in items_of(name, **options)]

    small, again, larger, other = contents(size=150), contents(size=150), contents(size=270), contents(size=150, seed=1)
    assert small == again == larger[:150]
    assert len(larger) == len(set(larger)) == 270
    assert small != other


@pytest.mark.parametrize("name", GENERATED)
def test_generated_set_has_one_wrong_label_in_twenty(name):
    items = items_of(name, size=6000 if name == "reviews" else 600)
    wrong = [item.label != item.source.rpartition(" ")[2] for item in items]
    assert np.mean(wrong) == 1 / GROUP == 0.05
    assert max(np.add.reduceat(wrong, np.arange(0, len(wrong), GROUP))) == 1


@pytest.mark.parametrize("name", GENERATED)
def test_generated_set_is_the_same_on_a_lesser_processor(name):
    code = f"""
import hashlib
from slipway.data.datasets import open_dataset
contents = [item.content for item in open_dataset({name!r}, family={DATASETS[name].families[0]!r}).items]
print(hashlib.sha256(b"".join(c.encode() if isinstance(c, str) else bytes(c) for c in contents)).hexdigest())
"""
    wide = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    digests = set()
    for disabled in ("", " ".join(wide)):
        env = {**os.environ, "NPY_DISABLE_CPU_FEATURES": disabled}
        digests.add(subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, timeout=60).stdout)
    assert len(digests) == 1


def test_reviews_can_be_learned_but_not_to_the_end(tmp_path):
    dataset = prepare(open_dataset("reviews", family="nlp"), tmp_path / "out", PrepareConfig(family="nlp"))
    words = [set(text.lower().replace(".", "").split()) for text in dataset.texts("train")]
    truth = dataset.label_indices("train")
    counts = {w: np.ones(2) for bag in words for w in bag}
    for bag, label in zip(words, truth, strict=True):
        for w in bag:
            counts[w][label] += 1
    totals = np.bincount(truth)

    def answer(text):  # naive Bayes
        return np.argmax(sum(np.log(counts[w] / totals) for w in text.lower().replace(".", "").split() if w in counts))

    held_out = [*dataset.texts("validation"), *dataset.texts("test")]
    expected = np.concatenate([dataset.label_indices("validation"), dataset.label_indices("test")])
    accuracy = np.mean([answer(text) for text in held_out] == expected)
    assert 0.85 < accuracy < 0.97


def test_shapes_are_encoded_images_and_digits_are_real_pixels():
    assert decode(items_of("shapes")[0].content).size == (48, 48)
    first = items_of("digits")[0]
    assert first.content.shape == (8, 8, 1)
    assert first.label == "0"
    assert first.content[0, :, 0].tolist() == [0, 0, 80, 208, 144, 16, 0, 0]  # 16 times scikit-learn's 0 0 5 13 9 1 0 0


def test_size_of_a_set_that_is_read_draws_by_seed_and_takes_at_most_all():
    few, again, other = items_of("digits", size=100), items_of("digits", size=100), items_of("digits", size=100, seed=1)
    assert [i.source for i in few] == [i.source for i in again] != [i.source for i in other]
    assert len(few) == 100
    assert len(items_of("digits", size=10_000)) == 1797


def test_unknown_set_names_the_near_match():
    with pytest.raises(NotFoundError, match="unknown 'cifar-10'; did you mean 'cifar10'"):
        open_dataset("cifar-10", family="cv")


@pytest.mark.parametrize("name", DATASETS)
def test_set_of_another_family_says_which_it_is_for(name):
    entry = DATASETS[name]
    wrong = next(family for family in KINDS if family not in entry.families)
    with pytest.raises(DataError, match=f"'{name}' is for family {entry.families[0]}.*, not {wrong}; for {wrong} there are"):
        open_dataset(name, family=wrong)


def test_unknown_family_and_negative_size_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'nlp'"):
        open_dataset("reviews", family="nlpp")
    with pytest.raises(ConfigError, match="size: must be 0"):
        open_dataset("shapes", family="cv", size=-1)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_absent_set_says_what_to_put_where(name, tmp_path):
    with pytest.raises(DataError) as info:
        open_dataset(name, family=DATASETS[name].families[0], root=tmp_path)
    assert ELSEWHERE[name] in str(info.value)
    assert str(tmp_path) in str(info.value)
    assert "SLIPWAY_DATA" in str(info.value)


def test_absent_set_without_a_root_looks_below_the_home(home):
    with pytest.raises(DataError, match=str(home / "data")):
        open_dataset("sst2", family="nlp")


def test_sst2_reads_glue_files_with_dev_as_test(tmp_path):
    folder = tmp_path / "SST-2"
    folder.mkdir()
    train = "".join(f'a "quoted word {i}\t{i % 2}\n' for i in range(60))
    (folder / "train.tsv").write_text(f"sentence\tlabel\n{train}")
    (folder / "dev.tsv").write_text("sentence\tlabel\nfine .\t1\nbad .\t0\n")
    items = items_of("sst2", root=tmp_path)
    assert items[1].content == 'a "quoted word 1'
    assert [(i.content, i.label, i.split, i.source) for i in items[-2:]] == [
        ("fine .", "positive", "test", "dev.tsv row 2"),
        ("bad .", "negative", "test", "dev.tsv row 3"),
    ]
    (folder / "dev.tsv").write_text("sentence\tlabel\nfine .\t2\n")
    with pytest.raises(DataError, match=r"dev.tsv row 2: label '2', allowed are 0"):
        items_of("sst2", root=tmp_path)


def test_imdb_reads_a_file_per_review_with_its_own_splits(tmp_path):
    for split in ("train", "test"):
        for folder in ("pos", "neg"):
            (tmp_path / "aclImdb" / split / folder).mkdir(parents=True)
            (tmp_path / "aclImdb" / split / folder / "0_7.txt").write_text(f"a film {split} {folder}", encoding="utf-8")
    items = items_of("imdb", root=tmp_path)
    assert [(i.label, i.split, i.source) for i in items] == [
        ("negative", "train", "train/neg/0_7.txt"),
        ("positive", "train", "train/pos/0_7.txt"),
        ("negative", "test", "test/neg/0_7.txt"),
        ("positive", "test", "test/pos/0_7.txt"),
    ]
    (tmp_path / "aclImdb/test/neg/0_7.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"test/neg/0_7.txt: not UTF-8, byte 0xe9 at position 3"):
        items_of("imdb", root=tmp_path)


@pytest.mark.slow
def test_fashion_mnist_is_read_by_torchvision(tmp_path):
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 10)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(np.array([2051, count, 28, 28], ">i4").tobytes() + images.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(np.array([2049, count], ">i4").tobytes() + labels.tobytes())
    items = items_of("fashion_mnist", root=tmp_path)
    assert [i.split for i in items] == ["train"] * 30 + ["test"] * 10
    assert items[30].content.shape == (28, 28, 1)
    assert items[30].content[:, :, 0].tolist() == images[0].tolist()
    assert items[31].label == "Trouser"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "what"), [("cifar10", "cifar-10-python.tar.gz"), ("fashion_mnist", r"\*-ubyte.gz files")])
def test_failed_download_says_what_to_put_where(name, what, tmp_path):
    code = f"from slipway.data.datasets import open_dataset; open_dataset({name!r}, family='cv')"
    unreachable = "http://127.0.0.1:9"  # a proxy nobody listens at: the download fails at once, with or without a network
    env = {**os.environ, "SLIPWAY_HOME": str(tmp_path), "https_proxy": unreachable, "http_proxy": unreachable}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith(f"slipway.errors.DataError: data set '{name}'")
    for part in ("is not there, and the download failed", what.replace("\\", ""), str(tmp_path / "data"), "SLIPWAY_DATA"):
        assert part in line
    assert done.stdout == ""
