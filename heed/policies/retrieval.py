"""What is like a prompt: the k nearest texts by the cosine of their words' tf-idf.

    sim(x, d) = v(x) . v(d) / |v(x)| |v(d)|,   v_w(d) = (1 + log tf_w(d)) idf_w

Salton & Buckley 1988; demonstrations: Liu et al. 2021 (arXiv:2101.06804), section 3; documents:
Lewis et al. 2020 (arXiv:2005.11401), with words in place of a learned retriever.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from heed.errors import UserError
from heed.policies.in_context import Ways, spoken, with_system, with_turns
from heed.types import Demonstration, Document, Message, Prompt


class Nearest:
    """Texts, and which of them are most like another one.

    Raises UserError where none of the texts has a word.
    """

    def __init__(self, texts: Sequence[str], *, k: int, least: float) -> None:
        self.k, self.least = k, least
        from sklearn.feature_extraction.text import TfidfVectorizer  # takes a second

        self.words = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True)
        if not any(any(letter.isalnum() for letter in text) for text in texts):
            raise UserError("There is nothing to retrieve from: no text has a word in it.")
        self.vectors = self.words.fit_transform(texts)

    def __call__(self, text: str) -> list[int]:
        """The places of at most k texts, the most like first; of equals, the first is first.

        Those without a common word and those less like than `least` are not among them.
        """
        like = (self.vectors @ self.words.transform([text]).T).toarray().ravel()
        nearest = np.argsort(-like, kind="stable")[: self.k]
        return [int(at) for at in nearest if like[at] > 0.0 and like[at] >= self.least]


def demonstrated(demonstrations: Sequence[Demonstration], *, k: int, least: float) -> Ways:
    """Demonstrations like the prompt before it, as turns; the most like stands last.

    Of the same conversation the first one counts; held-out ones, and those of the very prompt that
    is asked, never do. A system message makes no other conversation: no demonstration brings its.
    """
    usable: dict[tuple[Message, ...], Demonstration] = {}
    for each in demonstrations:
        if each.prompt.split == "train":
            usable.setdefault(tuple(spoken(each.prompt)), each)
    shots = list(usable.values())
    # One more is looked for, since one may be the prompt's own.
    nearest = Nearest([shot.prompt.text for shot in shots], k=k + 1, least=least)

    def ways(prompt: Prompt) -> list[Prompt]:
        found = [shots[at] for at in nearest(prompt.text)]
        others = [shot for shot in found if spoken(shot.prompt) != spoken(prompt)][:k]
        counts = range(len(others), -1, -1)
        return [with_turns(prompt, others[:count][::-1]) for count in counts]

    return ways


def documented(documents: Sequence[Document], *, k: int, least: float) -> Ways:
    """Documents like the prompt before it, as one system message; the most like stands last."""
    texts = [document.text for document in documents]
    nearest = Nearest(texts, k=k, least=least)

    def ways(prompt: Prompt) -> list[Prompt]:
        found = [texts[at] for at in nearest(prompt.text)]
        counts = range(len(found), -1, -1)
        return [with_system(prompt, " ".join(found[:count][::-1])) for count in counts]

    return ways
