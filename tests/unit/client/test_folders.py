"""Folders in batches: order, errors, memory, and what is asked again."""

import numpy as np
import pytest

from slipway.client import Client
from slipway.client.many import IN_FLIGHT, stream
from slipway.client.prediction import MAX_BATCH_BYTES, batches
from slipway.errors import DataError, NotFoundError, RequestError, ServerError
from slipway.predictions import inputs
from slipway.server.app import create_app
from slipway.server.models import served_model
from tests.helpers.bundles import make_items
from tests.helpers.servers import running
from tests.unit.client.conftest import TOKEN

COUNT = 37


@pytest.fixture
def photos(tmp_path):
    """COUNT images in two folders; number 3 and 20 are none, 21 is too large for the server, 22 leads nowhere."""
    items = make_items("cv", COUNT)
    for i, item in enumerate(items):
        folder = tmp_path / "photos" / ("ü" if i >= 10 else "a")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:02d}.png").write_bytes(item)
    (tmp_path / "photos" / "a" / "03.png").write_bytes(b"no image")
    (tmp_path / "photos" / "ü" / "20.png").write_bytes(b"")
    (tmp_path / "photos" / "ü" / "21.png").write_bytes(bytes(2**20 + 1))
    (tmp_path / "photos" / "ü" / "22.png").unlink()
    (tmp_path / "photos" / "ü" / "22.png").symlink_to(tmp_path / "nowhere")
    return tmp_path / "photos", items


@pytest.mark.parametrize("batch", [1, 5, 16, 1000])
def test_every_file_is_answered_in_order_and_bad_ones_are_named(client, loaded, photos, batch):
    folder, items = photos
    found = list(client.predict_folder("cv", folder, batch=batch))
    assert [a.source for a in found] == sorted(str(p) for p in folder.rglob("*.png"))
    bad = {int(a.source[-6:-4]): a.error for a in found if a.prediction is None}
    assert list(bad) == [3, 20, 21, 22]
    assert bad[3].startswith("not an image (8 bytes)")
    assert bad[20].startswith("not an image (0 bytes)")
    assert "fewer or smaller items" in bad[21]
    assert bad[22] == "cannot be read (No such file or directory)"
    good = [i for i in range(COUNT) if i not in bad]
    expected = loaded["cv"].predict([items[i] for i in good])
    np.testing.assert_array_equal([list(found[i].prediction.probabilities.values()) for i in good], expected)
    assert not any(found[i].error for i in good)


def test_a_folder_of_texts_is_its_lines_and_rows(client, loaded, tmp_path):
    (tmp_path / "a.csv").write_text("review\nfine film\n")
    (tmp_path / "b.txt").write_bytes(b"good plot\n\xff\n")
    found = list(client.predict_folder("nlp", tmp_path))
    assert [a.source.removeprefix(f"{tmp_path}/") for a in found] == ["a.csv row 2", "b.txt row 1", "b.txt row 2"]
    assert found[0].prediction == client.predict("nlp", ["fine film"])[0]
    assert found[2].error.startswith("not UTF-8")


def test_few_items_are_held_however_many_there_are(client):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield inputs.Item(str(taken), "fine film")

    answers = client.predict_items("nlp", endless(), batch=4)
    assert next(answers).source == "1"
    assert taken <= (IN_FLIGHT + 2) * 4
    answers.close()


def test_batches_are_of_one_form_and_of_bounded_size():
    small, large = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 1), np.uint8)
    bad = DataError("x")
    entries = [("", raw) for raw in [b"a", bad, b"b", small, small, bad, large, b"a", b"c", b"d", bytes(MAX_BATCH_BYTES), b"e"]]
    sizes = [len(batch) for batch in batches(entries, 3)]
    assert sizes == [3, 3, 1, 3, 1, 1]
    assert [entry for batch in batches(entries, 3) for entry in batch] == entries


@pytest.mark.parametrize(
    "error", [ServerError("gone"), NotFoundError("unloaded"), RequestError("authorization: needs"), RequestError("item 9: x")]
)
def test_what_concerns_no_item_ends_the_stream_after_what_was_answered(error):
    def ask(raws):
        if b"bad" in raws:
            raise error
        return [str(raw) for raw in raws]

    answers = stream(ask, [("1", b"x"), ("2", b"bad"), ("3", b"x")], max_items=1)
    assert next(answers).prediction == "b'x'"
    with pytest.raises(type(error), match=str(error)):
        list(answers)


def test_only_the_rest_of_a_batch_is_asked_again():
    asked = []

    def ask(raws):
        asked.append(list(raws))
        if b"bad" in raws:
            raise RequestError(f"item {list(raws).index(b'bad')}: no image")
        return [raw.decode() for raw in raws]

    found = list(stream(ask, [(str(i), raw) for i, raw in enumerate([b"a", b"bad", b"c", b"bad"])], max_items=9))
    assert [(a.prediction, a.error) for a in found] == [("a", ""), (None, "no image"), ("c", ""), (None, "no image")]
    assert asked == [[b"a", b"bad", b"c", b"bad"], [b"a", b"c", b"bad"], [b"a", b"c"]]


def test_a_token_that_does_not_fit_is_no_error_of_the_items(releases, photos):
    app = create_app([served_model("cv", str(releases["cv"]))], token=TOKEN)
    with running(app) as http, Client(str(http.base_url)) as client, pytest.raises(RequestError, match="authorization"):
        client.predict_folder("cv", photos[0])
