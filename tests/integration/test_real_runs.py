"""Real data, from the files their authors published to a served model."""

import pytest

from tests.helpers.command import outcome

pytestmark = [pytest.mark.integration, pytest.mark.data]
# A part of CIFAR-10's training images, to be done in half a minute; its floor is what that part reaches with room to spare.
RUNS = {
    "cifar10": ("cv", "--set", "size=6000", "--set", "epochs=3", "--set", "min_accuracy=0.3", "--set", "min_class_recall=0.1"),
    "neu_cls": ("defect", "--set", "epochs=20"),
    "sst2": ("nlp",),
}


@pytest.mark.parametrize("dataset", RUNS)
def test_a_real_data_set_ends_registered_and_served(real_data, tmp_path, dataset):
    family, *options = RUNS[dataset]
    o = outcome(family, "--dataset", dataset, *options, cwd=tmp_path)
    assert (o["verdict"], o["version"], o["dataset"]) == ("pass", 1, dataset)
    assert o["answer"]


def test_a_real_folder_of_class_folders_ends_registered_and_served(real_data, tmp_path):
    o = outcome("cv", "--data", str(real_data / "NEU-CLS"), "--set", "image_px=32", "--set", "epochs=15", cwd=tmp_path)
    assert (o["verdict"], o["version"], o["model"]) == ("pass", 1, "cv-neu-cls")
