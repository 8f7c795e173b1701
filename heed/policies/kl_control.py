"""The KL coefficient: fixed, or steered to a target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class KlController:
    """beta *= 1 + clip(KL / target - 1, -.2, .2) * n / horizon (Ziegler et al. 2019, section 2.2).

    KL is the mean over episodes of an episode's summed log-ratio, in nats; n the number of
    episodes it was measured on. Without a target the coefficient stays.
    """

    coef: float
    target: float | None = None
    horizon: int = 10_000

    def update(self, kl: float, episodes: int) -> None:
        """Move the coefficient after an iteration with this KL."""
        if self.target is None:
            return
        error = min(max(kl / self.target - 1.0, -0.2), 0.2)
        self.coef *= 1.0 + error * episodes / self.horizon
