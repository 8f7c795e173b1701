"""TensorBoard: event files under the run, a folder a stage, which `tensorboard --logdir` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from shutil import rmtree

from torch.utils.tensorboard import SummaryWriter

from heed.tracking.tracker import Tracked, as_markdown

RUN = "run"
"""The folder of what belongs to no stage."""


class TensorBoard:
    """The files are derived from what the run keeps itself, so every process writes them anew: what
    a killed one had written past its last checkpoint is gone. A TensorBoard that is open meanwhile
    drops by `purge_step` what it had read.
    """

    lasting = False

    def __init__(self, run: Tracked) -> None:
        self.directory = run.directory / "tensorboard"
        rmtree(self.directory, ignore_errors=True)
        self.writers: dict[str, SummaryWriter] = {}
        self._writer(RUN).add_text("recipe", f"```yaml\n{run.page}```", 0)

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        writer = self._writer(stage)
        for name, value in values.items():
            writer.add_scalar(f"{stage}/{name}", value, step)
        # To the disk with every row: it costs little, and a kill then loses nothing that was told.
        writer.flush()

    def text(self, name: str, text: str) -> None:
        self._writer(RUN).add_text(name, text, 0)
        self._writer(RUN).flush()

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.text(name, as_markdown(columns, rows))

    def figures(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer(RUN).add_scalar(name, value, 0)
        self._writer(RUN).flush()

    def close(self) -> None:
        for writer in self.writers.values():
            writer.close()

    def _writer(self, stage: str) -> SummaryWriter:
        if stage not in self.writers:
            folder = str(self.directory / stage)
            self.writers[stage] = SummaryWriter(folder, purge_step=0)
        return self.writers[stage]
