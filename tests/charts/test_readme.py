"""The charts' READMEs say what their values.yaml says."""

import importlib.util

import pytest

from tests.helpers import helm

spec = importlib.util.spec_from_file_location("chart_readme", helm.ROOT / "scripts/chart_readme.py")
chart_readme = importlib.util.module_from_spec(spec)
spec.loader.exec_module(chart_readme)


@pytest.mark.parametrize("chart", sorted(p.parent.name for p in helm.CHARTS.glob("*/Chart.yaml")))
def test_the_table_of_values_is_current(chart: str):
    path = helm.CHARTS / chart
    assert (path / "README.md").read_text() == chart_readme.fresh(path), "run `make charts-readme`"


def test_a_value_without_a_comment_is_an_error(tmp_path):
    values = tmp_path / "values.yaml"
    values.write_text("# -- Said\na: {b: 1}\nc:\n  # about it, in words\n  d: 2\n")
    with pytest.raises(chart_readme.UndocumentedError, match=r"values\.yaml:5: 'c\.d'"):
        chart_readme.table(values)
    values.write_text("# -- Said\n# in two lines\na: {b: 1}\nc:\n  # -- One\n  d: x|y\n")
    assert list(chart_readme.rows(values)) == [("a", '{"b": 1}', "Said in two lines"), ("c.d", '"x|y"', "One")]
