"""The policies by name, each with its engine; weights are taken anew without dropping a request.

What is under way goes on with the engine that began it, which ends by itself; what comes later
goes to the new one.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heed.sampling.asked import Engine


@dataclass(frozen=True)
class Policy:
    """One name's present weights: `version` counts them from 1, `since` is seconds of the epoch.

    `told` says of the weights what a person wants to know (where they come from).
    """

    name: str
    engine: Engine
    version: int
    since: int
    told: str

    def __hash__(self) -> int:
        return hash((self.name, self.version))


Opened = tuple[Engine, str]
Open = Callable[[], Opened]
"""Loads a policy's weights: an engine, and what there is to say of them."""


class Roster:
    """What is served. `make(word)` gives what loads the policy that a word means.

    Raises UserError (of what loads) where one of them cannot be loaded.
    """

    def __init__(self, words: Mapping[str, str], make: Callable[[str, str], Open]) -> None:
        self._words = dict(words)
        self._make = make
        self._lock = threading.Lock()
        self._reloading = threading.Lock()
        self._held: Counter[Policy] = Counter()
        self._leaving: list[Policy] = []
        self._policies = {name: self._opened(name, word, 1) for name, word in words.items()}

    @property
    def names(self) -> list[str]:
        return list(self._policies)

    @property
    def words(self) -> dict[str, str]:
        """What each name stands for, as a user wrote it."""
        return dict(self._words)

    def find(self, name: str) -> Policy | None:
        """The policy that answers to a name now."""
        with self._lock:
            return self._policies.get(name)

    def hold(self, name: str) -> Policy | None:
        """The same; its engine takes requests until it is released, whatever is loaded since."""
        with self._lock:
            policy = self._policies.get(name)
            if policy is not None:
                self._held[policy] += 1
            return policy

    def release(self, policy: Policy) -> None:
        """Whoever held the policy is done with it."""
        with self._lock:
            self._held[policy] -= 1
            self._dismiss()

    def _dismiss(self) -> None:
        """Close the engines that nobody asks any more; with the lock."""
        self._held = +self._held
        for policy in self._leaving:
            if policy not in self._held:
                policy.engine.close()
        self._leaving = [policy for policy in self._leaving if not policy.engine.join(0)]

    def reload(self, words: Mapping[str, str]) -> list[Policy]:
        """Take these names' weights anew, from where the words now say.

        Raises UserError where one cannot be loaded; then all stays as it was.
        """
        with self._reloading:
            new: list[Policy] = []
            try:
                for name, word in words.items():
                    new.append(self._opened(name, word, self._policies[name].version + 1))
            except BaseException:
                for policy in new:
                    policy.engine.abort()
                raise
            with self._lock:
                self._leaving += [self._policies[policy.name] for policy in new]
                self._policies.update({policy.name: policy for policy in new})
                self._words.update(words)
                self._dismiss()
        return new

    def engines(self) -> list[Engine]:
        """All that are at work, those that only finish too."""
        with self._lock:
            return [policy.engine for policy in (*self._policies.values(), *self._leaving)]

    def close(self) -> None:
        """Give up what is under way, and let the threads end."""
        engines = self.engines()
        for engine in engines:
            engine.abort()
        for engine in engines:
            engine.join(10.0)

    def _opened(self, name: str, word: str, version: int) -> Policy:
        engine, told = self._make(name, word)()
        return Policy(name, engine, version, int(time.time()), told)
