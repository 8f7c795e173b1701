"""trackio: its store on this machine (`trackio show`), unless the environment names a Space or
server (TRACKIO_SPACE_ID, TRACKIO_SERVER_URL).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Any

import pandas as pd
import trackio

from heed.tracking.tracker import Tracked

PROJECT = "heed"
OWN = "heed_id"
"""Where a run's settings in the store say which run of Heed's it is."""


class Trackio:
    """In the local store every process takes out the same run's earlier record and writes it anew;
    what went to a Space or server stays there.
    """

    def __init__(self, run: Tracked) -> None:
        named = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")
        self.lasting = any(os.environ.get(name) for name in named)
        if not self.lasting:
            _forget(run)
        # It prints what it does, and figures of the machine are none of the run's.
        with redirect_stdout(StringIO()):
            self.run: Any = trackio.init(
                project=PROJECT,
                name=run.name,
                config={**run.settings, OWN: run.id},
                resume="allow" if self.lasting else "never",
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        self.run.log({f"{stage}/{name}": value for name, value in values.items()}, step=step)

    def text(self, name: str, text: str) -> None:
        self.run.log({name: trackio.Markdown(text)}, step=0)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        frame = pd.DataFrame([list(row) for row in rows], columns=list(columns))
        self.run.log({name: trackio.Table(dataframe=frame)}, step=0)

    def figures(self, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=0)

    def close(self) -> None:
        with redirect_stdout(StringIO()):
            trackio.finish()  # `run.finish()` would be repeated, in print, as the process ends


def _forget(run: Tracked) -> None:
    with suppress(ValueError):  # there is no such project yet
        for each in list(trackio.Api().runs(PROJECT)):
            if each.name == run.name and (each.config or {}).get(OWN) == run.id:
                each.delete()
