"""A reward that one process asks, for all that train together."""

from __future__ import annotations

import json
from collections.abc import Sequence

from heed.ranks import Ranks
from heed.types import Completion, RewardFn


class AskedOnce:
    """A RewardFn that the first process asks and the others hear: what costs money or may answer
    differently the second time.
    """

    def __init__(self, reward: RewardFn) -> None:
        self.reward = reward

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        ranks = Ranks.here()
        if ranks.count == 1:
            return self.reward(completions)
        (said,) = ranks.from_first(lambda: [json.dumps(list(self.reward(completions)))])
        scores: list[float] = json.loads(said)
        return scores
