from __future__ import annotations

import pytest
import torch

from heed.errors import UserError
from heed.models import device
from heed.models.device import has_half, resolve_device, resolve_dtype, slow_half


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


@pytest.mark.parametrize("computes", [True, False])
def test_bfloat16_is_the_default_of_a_gpu_that_computes_in_it(monkeypatch, computes):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: computes)
    found = resolve_dtype("auto", torch.device("cuda"))
    assert found == (torch.bfloat16 if computes else torch.float32)
    assert has_half(torch.device("cuda")) is computes


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:zero"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(UserError, match=f"{name}.*auto, cpu or cuda"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("instructions", "half"),
    [
        (["avx2", "avx512f"], False),
        (["avx2", "avx512_bf16"], True),
        (["asimd"], False),
        (None, None),
    ],
)
def test_bfloat16_without_hardware_for_it_is_told(monkeypatch, instructions, half):
    monkeypatch.setattr(device, "instruction_sets", lambda: instructions)
    cpu = torch.device("cpu")
    assert has_half(cpu) is half
    said = slow_half(torch.bfloat16, cpu, "dtype")
    assert (said is not None) is (half is False)
    assert slow_half(torch.float32, cpu, "dtype") is None
    if said:
        assert "This cpu has no bfloat16 in hardware" in said
        assert said.endswith("Set dtype to float32 or auto.")


def test_of_other_devices_nobody_says_whether_they_have_bfloat16():
    assert has_half(torch.device("meta")) is None
    assert slow_half(torch.bfloat16, torch.device("meta"), "dtype") is None
