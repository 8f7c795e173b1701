from __future__ import annotations

import pytest
import torch
from torch import nn

from heed.models.modes import disable_dropout, evaluating


def test_evaluating_gives_every_part_its_mode_back():
    module = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Dropout(0.5)))
    module[0].eval()

    def fail():
        with evaluating(module):
            assert not any(part.training for part in module.modules())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [part.training for part in module.modules()] == [True, False, True, True]


@pytest.mark.parametrize(
    ("kind", "rates"),
    [
        ("gpt2", {"attn_pdrop": 0.4, "resid_pdrop": 0.4, "embd_pdrop": 0.4}),
        ("llama", {"attention_dropout": 0.4}),
    ],
)
def test_a_policy_without_dropout_computes_the_same_in_train_mode(tiny, kind, rates):
    model = tiny(kind, **rates).model
    ids = torch.arange(10)[None]
    with torch.no_grad():
        still = model(ids).logits
        model.train()
        assert not torch.equal(model(ids).logits, still)
        disable_dropout(model)
        torch.testing.assert_close(model(ids).logits, still)
