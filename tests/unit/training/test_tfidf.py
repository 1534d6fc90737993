import numpy as np
import pytest

from slipway.errors import DataError
from slipway.preprocess.text import TfidfPreprocess
from slipway.training.recipe import TrainConfig
from slipway.training.text import fit_tfidf, fit_vocabulary

TEXTS = ["a good good film", "a bad film", "good!", "", "so bad so very bad", "naïve but good"]
LABELS = np.array([1, 0, 1, 0, 0, 1])


@pytest.mark.parametrize("ngrams", [1, 2])
def test_answers_are_those_of_scikit_learns_own_pipeline(ngrams):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    config = TrainConfig(family="nlp", ngrams=ngrams)
    model, preprocess, _ = fit_tfidf((TEXTS, LABELS), (TEXTS, LABELS), ("bad", "good"), config)
    vectorizer = TfidfVectorizer(analyzer=lambda text: TfidfPreprocess.terms(text, ngrams), sublinear_tf=True)
    theirs = LogisticRegression(C=config.regularisation, max_iter=1000, tol=1e-6).fit(vectorizer.fit_transform(TEXTS), LABELS)
    logits = model(**preprocess.encode(TEXTS))
    mine = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    np.testing.assert_allclose(mine, theirs.predict_proba(vectorizer.transform(TEXTS))[:, 1], atol=1e-4)


def test_three_classes_have_three_rows():
    labels = np.array([0, 1, 2, 0, 1, 2])
    model, preprocess, record = fit_tfidf((TEXTS, labels), (TEXTS, labels), ("a", "b", "c"), TrainConfig(family="nlp"))
    assert model(**preprocess.encode(TEXTS)).shape == (6, 3)
    assert 0 <= record.val_accuracy <= 1


def test_the_most_frequent_terms_are_kept_and_ties_go_by_name():
    preprocess, idf = fit_vocabulary(["b a", "b a", "b c"], TrainConfig(family="nlp", ngrams=1, max_features=2))
    assert preprocess.vocabulary == ["a", "b"]
    assert idf[1] == pytest.approx(1.0)


def test_texts_without_words_and_classes_without_texts_are_refused():
    with pytest.raises(DataError, match="none of them has a word"):
        fit_vocabulary(["", "!!"], TrainConfig(family="nlp"))
    with pytest.raises(DataError, match="class 'good': has no training text"):
        fit_tfidf((["x", "y"], np.zeros(2, int)), (["x"], np.zeros(1, int)), ("bad", "good"), TrainConfig(family="nlp"))
