"""What labels cost: minutes of people's time, and money.

Without records of earlier labels the time is that of reading alone, which is the least it can be:
238 words a minute, the mean of 190 studies of silent reading of English non-fiction; most adults
lie between 175 and 300 (Brysbaert 2019, Journal of Memory and Language 109, 104047).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

READS = 238.0
"""Words a minute."""
RECORDED, READING = "as recorded", "reading alone"


@dataclass(frozen=True, slots=True)
class Labels:
    """So many labels, what each takes, and what an hour of it costs; 0 where nobody is paid."""

    count: float
    seconds: float
    how: str
    """Where the seconds of a label are from."""
    pay_per_hour: float = 0.0
    currency: str = "USD"

    @property
    def minutes(self) -> float:
        return self.count * self.seconds / 60

    @property
    def money(self) -> float:
        return self.minutes / 60 * self.pay_per_hour


def labels(
    count: float,
    words: float,
    recorded: Sequence[float] = (),
    *,
    pay_per_hour: float = 0.0,
    currency: str = "USD",
) -> Labels:
    """Labels of so many words to read each; `recorded` are seconds that earlier ones took."""
    times = [each for each in recorded if each > 0]
    each = fmean(times) if times else 60 * words / READS
    return Labels(count, each, RECORDED if times else READING, pay_per_hour, currency)
