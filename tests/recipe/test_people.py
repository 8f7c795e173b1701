"""Where a run's labelling page is served: here, or by somebody else, and what then says nothing."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from heed.cli.desk import open_desk
from heed.feedback.people import nobody
from heed.recipe import People


def test_the_page_is_served_here_unless_it_is_left_to_another_host() -> None:
    assert open_desk(People()) is not nobody
    assert open_desk(People(serve=False)) is nobody


@pytest.mark.parametrize(
    "setting", [{"accounts": False}, {"host": "0.0.0.0"}, {"port": 80}], ids=str
)
def test_what_a_page_elsewhere_does_not_hear_is_refused(setting: dict[str, object]) -> None:
    name = next(iter(setting))
    with pytest.raises(ValidationError, match=f"give --{name} to heed label"):
        People.model_validate({"serve": False, **setting})
