"""Generated sets on disk: one's own data to try the product with."""

import pytest

from slipway.cli import main
from slipway.data.datasets import DATASETS
from slipway.data.folders import open_path
from slipway.data.prepare import PrepareConfig, prepare


@pytest.mark.parametrize("name", [name for name, entry in DATASETS.items() if entry.generated_size])
def test_written_set_reads_as_own_data(name, tmp_path, capsys):
    with pytest.raises(SystemExit) as done:
        main(["generate", name, str(tmp_path / name), "--size", "100"])
    assert done.value.code == 0
    table = tmp_path / name / ("texts.csv" if name == "reviews" else "labels.csv")
    assert capsys.readouterr().out.strip() == str(table)
    family = DATASETS[name].families[0]
    raw = open_path(table, family=family)
    assert len(list(raw.items)) == 100
    assert set(raw.labels) <= set(prepare(raw, tmp_path / "out", PrepareConfig(family=family)).labels)


def test_folder_that_holds_something_is_never_overwritten(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(SystemExit) as done:
        main(["generate", "shapes", str(tmp_path)])
    assert done.value.code == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "keep"
