from __future__ import annotations

import pytest
import torch

from heed.errors import UserError
from heed.models.device import resolve_device, resolve_dtype


def test_auto_takes_cuda_where_there_is_one():
    assert resolve_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == torch.device("cpu")


def test_dtypes():
    cpu = torch.device("cpu")
    assert resolve_dtype("auto", cpu) == torch.float32
    assert resolve_dtype("bfloat16", cpu) == torch.bfloat16
    assert resolve_dtype("float32", cpu) == torch.float32
    with pytest.raises(UserError, match=r"float16.*auto, float32 or bfloat16"):
        resolve_dtype("float16", cpu)


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:zero"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(UserError, match=f"{name}.*auto, cpu or cuda"):
        resolve_device(name)
