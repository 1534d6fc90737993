"""What a source is: a known set, a prepared directory, or a path of the user's own."""

import pytest

from slipway import settings
from slipway.data import sources
from slipway.errors import ConfigError, DataError, NotFoundError
from tests.helpers import datasets


def test_a_source_is_a_known_set_or_a_path(tmp_path):
    assert sources.parameters_of("digits") == {"dataset": "digits"}
    own = {"data": str(tmp_path), "label_column": "y"}
    assert sources.parameters_of(str(tmp_path), label_column="y", text_column="") == own
    with pytest.raises(NotFoundError, match=r"did you mean 'digits'.*nor is there such a file or folder"):
        sources.parameters_of("digit")


def test_the_family_is_known_of_known_and_prepared_data_only(tmp_path):
    assert sources.family_of("steel") == "defect"
    assert sources.family_of(str(datasets.texts(tmp_path / "texts").path)) == "nlp"
    with pytest.raises(ConfigError, match="give --family cv, defect or nlp"):
        sources.family_of(str(tmp_path))


def test_slice_columns_are_names_with_commas_between_them(tmp_path):
    (tmp_path / "t.csv").write_text("text,label,a,b c\none,x,1,2\ntwo,y,3,4\n")
    asked = {"size": 0, "seed": 0, "settings": settings.load()}
    raw = sources.open_source("nlp", dataset="", data=str(tmp_path / "t.csv"), slice_columns=" b c, a,", **asked)
    assert raw.slice_columns == ("b c", "a")
    with pytest.raises(DataError, match="slice_columns: data set 'reviews' has no columns"):
        sources.open_source("nlp", dataset="reviews", data="", slice_columns="a", **asked)
