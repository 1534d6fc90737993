import json

import numpy as np
import pytest
import torch

from slipway.errors import BundleError, ConfigError
from slipway.models.restore import restore
from slipway.models.voting import VIEWS, Voting, look
from slipway.store import files
from slipway.training.recipe import CHOICES
from tests.helpers import checkpoints, datasets
from tests.helpers.bundles import image


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return datasets.images(tmp_path_factory.mktemp("voting") / "data")


@pytest.fixture(scope="module")
def images_NHWC():
    rng = np.random.default_rng(0)
    return np.stack([image(rng, 32, 3) for _ in range(5)])


def probabilities(model, images_NHWC):
    with torch.inference_mode():
        logits_NK = model(torch.from_numpy(images_NHWC.copy())).double().numpy()
    return np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)


def shifted(images_NHWC, up, left):
    """By hand: pad with reflected pixels, and cut."""
    wide = np.pad(images_NHWC, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    height, width = images_NHWC.shape[1:3]
    return wide[:, 1 + up : 1 + up + height, 1 + left : 1 + left + width]


def by_hand(images_NHWC, views):
    if views == "none":
        return [images_NHWC]
    both = [images_NHWC, images_NHWC[:, :, ::-1]]
    if views == "mirror":
        return both
    return [moved for view in both for moved in (view, shifted(view, 1, 1), shifted(view, -1, -1))]


def test_every_set_of_views_can_be_configured():
    assert tuple(VIEWS) == CHOICES["tta"]


@pytest.mark.parametrize("views", VIEWS)
def test_views_are_the_flips_and_shifts_done_by_hand(views, images_NHWC):
    looks = look(torch.from_numpy(images_NHWC), views)
    assert looks.dtype == torch.uint8
    np.testing.assert_array_equal(looks.numpy(), np.concatenate(by_hand(images_NHWC, views)))
    assert len(looks) == VIEWS[views] * len(images_NHWC)


def test_a_shift_is_a_32nd_of_each_side():
    rows, columns = np.meshgrid(np.arange(64), np.arange(96), indexing="ij")
    pixels = torch.from_numpy(np.stack([rows, columns], axis=2).astype(np.uint8)[None])
    up_left, down_right = look(pixels, "mirror_shift")[1:3]
    assert up_left[0, 0].tolist() == [2, 3]
    assert down_right[0, 0].tolist() == [2, 3]  # reflected
    assert down_right[2, 3].tolist() == [0, 0]
    assert up_left[63, 95].tolist() == [61, 92]  # reflected


@pytest.mark.parametrize("views", VIEWS)
@pytest.mark.parametrize("count", [1, 2])
def test_answers_are_the_mean_probability_of_members_and_views(views, count, dataset, images_NHWC):
    members = checkpoints.networks(dataset)[:count]
    expected = np.mean([probabilities(m, view) for m in members for view in by_hand(images_NHWC, views)], axis=0)
    np.testing.assert_allclose(probabilities(Voting(members, views), images_NHWC), expected, atol=1e-6)
    assert expected.std(axis=0).min() > 1e-3  # or nothing was compared


def test_logits_are_the_logarithms_of_the_mean(dataset, images_NHWC):
    logits = Voting(checkpoints.networks(dataset), "mirror")(image=torch.from_numpy(images_NHWC))
    np.testing.assert_allclose(logits.detach().exp().sum(dim=1), 1, atol=1e-6)


class Certain(torch.nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor([logits])

    def forward(self, input_ids, attention_mask):
        return self.logits.expand(len(input_ids), -1) * attention_mask[:, :1]


def test_members_as_sure_as_float32_allows_give_finite_logits():
    tokens = {"input_ids": torch.ones(2, 3), "attention_mask": torch.ones(2, 3)}
    logits = Voting([Certain([1000.0, 0.0]), Certain([0.0, 1000.0])])(**tokens)
    np.testing.assert_allclose(logits, np.log(0.5))
    same = Voting([Certain([1000.0, 0.0]), Certain([500.0, 0.0])])(**tokens)
    assert torch.isfinite(same).all()


def test_voting_without_members_or_with_unknown_views_is_refused():
    with pytest.raises(ConfigError, match="at least one member"):
        Voting([])
    with pytest.raises(ConfigError, match="tta: unknown 'miror'; did you mean 'mirror'"):
        Voting([Certain([0.0, 1.0])], "miror")


@pytest.mark.parametrize("members", [checkpoints.MEMBERS[:1], checkpoints.MEMBERS])
@pytest.mark.parametrize("views", VIEWS)
def test_a_checkpoint_is_restored_with_its_members_and_views(members, views, dataset, images_NHWC, tmp_path):
    extra = {} if views == "none" else {"tta": views}
    restored = restore(checkpoints.write(dataset, tmp_path / "checkpoint", members, **extra))
    expected = Voting(checkpoints.networks(dataset, members), views).eval()
    found = restored.logits({"image": images_NHWC})
    assert isinstance(restored.model, Voting) == (len(members) > 1 or views != "none")
    assert not restored.model.training
    np.testing.assert_allclose(
        np.exp(found) / np.exp(found).sum(axis=1, keepdims=True), probabilities(expected, images_NHWC), atol=1e-6
    )


def changed(checkpoint, **changes):
    meta = json.loads((checkpoint / "model.json").read_text())
    files.write_json(checkpoint / "model.json", {**meta, **changes}, sort_keys=False)
    return checkpoint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tta": "ten_crops"}, "tta: unknown 'ten_crops'.*; upgrade slipway"),
        (
            {
                "members": [
                    {"architecture": "lenet5", "options": {}},
                    {"architecture": "tfidf_logreg", "options": {"num_terms": 2}},
                ]
            },
            r"the members lenet5 \+ tfidf_logreg do not all read what lenet5 reads",
        ),
        ({"members": [{"architecture": "lenet5", "options": {}}] * 2}, r"not the weights of lenet5 \+ lenet5"),
        ({"members": []}, "not the weights of lenet5"),
    ],
)
def test_members_and_views_that_cannot_be_are_refused(changes, message, dataset, tmp_path):
    with pytest.raises(BundleError, match=message):
        restore(changed(checkpoints.write(dataset, tmp_path / "checkpoint"), **changes))
