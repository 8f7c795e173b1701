"""What a reward model must beat: judges that read nothing, or only words.

Each baseline learns from the training comparisons and says of every held-out one how right it
was (1, 0, or .5 for a tie), so that accuracies carry intervals and can be paired.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from heed.types import Comparison

# Strong: with 6,000 pairs of HH-RLHF and 400,000 features, weaker penalties overfit (C = 1: .549
# held out, C = .1: .558). lbfgs stops before it moved, its tolerance is one of gradients.
_RIDGE = 0.1


def length_baseline(train: Sequence[Comparison], heldout: Sequence[Comparison]) -> list[float]:
    """Prefers the longer answer, or the shorter: whichever won more weight in training.

    Length is in characters; two answers of one length are a coin's toss, .5.

    Returns:
        the correctness of each held-out comparison.
    """
    lean = sum(pair.weight * _longer(pair) for pair in train)
    direction = 1 if lean >= 0 else -1
    return [(1 + direction * _longer(pair)) / 2 for pair in heldout]


def tfidf_baseline(train: Sequence[Comparison], heldout: Sequence[Comparison]) -> list[float]:
    """Logistic regression on tf-idf(chosen) - tf-idf(rejected) of words and word pairs.

    Every training pair enters both ways round, (x, 1) and (-x, 0), with no intercept: the score
    is a difference of two answers' scores, a linear Bradley-Terry model, and favours no side.
    Nothing is drawn at random.

    Returns:
        the correctness of each held-out comparison; all .5 where training knows no word.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(
        ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]", dtype=np.float64
    )
    answers = [text for pair in train for text in (pair.chosen, pair.rejected)]
    if not any(text.strip() for text in answers):
        return [0.5] * len(heldout)
    vectors = words.fit_transform(answers)
    difference = vectors[::2] - vectors[1::2]
    weights = np.array([pair.weight for pair in train])
    labels = np.ones(len(train))
    model = LogisticRegression(C=_RIDGE, fit_intercept=False, solver="liblinear")
    model.fit(
        sparse.vstack([difference, -difference]),
        np.concatenate([labels, 1 - labels]),
        sample_weight=np.concatenate([weights, weights]),
    )
    if not heldout:
        return []
    chosen = words.transform([pair.chosen for pair in heldout])
    rejected = words.transform([pair.rejected for pair in heldout])
    margins = model.decision_function(chosen - rejected)
    return [float((1 + np.sign(margin)) / 2) for margin in margins]


def _longer(pair: Comparison) -> int:
    """1 where the chosen answer is the longer one, -1 where it is the shorter, 0 where equal."""
    difference = len(pair.chosen) - len(pair.rejected)
    return (difference > 0) - (difference < 0)
