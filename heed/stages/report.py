"""The run's page."""

from __future__ import annotations

from heed.recipe import Report
from heed.run import StageRun
from heed.stages.workplace import Summary, Workplace


def report(work: Workplace, _settings: Report, _stage: StageRun) -> Summary:
    """Leaves report.html and report.json in the run's directory."""
    from heed.report.page import write_report  # matplotlib takes half a second

    write_report(work.run.directory)
    return {}
