"""Where a round's time goes: looks by kind, shares by hand, a process that is really looked at."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from benchmarks import profile
from benchmarks.profile import FREQUENCY, IDLE, KINDS, ORDER, OTHER, kind, shares, table, watched

LOOKS = {
    "ffff sgemm (/x/heed/fused-0e295c1da952aa7f.so)": "compiled steps",
    "ffff head_b16 (/x/heed/decoder-0e295c1da952aa7f.so)": "compiled steps",
    "ffff tiled_b16 (/x/heed/decoder-0e295c1da952aa7f.so)": "products",
    "ffff mkl_blas_avx512_sgemm_kernel_0 (/x/torch/lib/libtorch_cpu.so)": "products",
    "ffff dnnl::impl::cpu::x64::brgemm_matmul_t<1>::execute (/x/libtorch_cpu.so)": "products",
    "ffff [unknown] (/tmp/perf-26110.map)": "products",
    "ffff at::native::adam_fused_step_impl<float> (/x/libtorch_cpu.so)": "optimiser",
    "ffff [unknown] (/x/torch/lib/libgomp.so.1)": "waiting",
    "ffff _PyEval_EvalFrameDefault (/x/libpython3.11.so.1.0)": "Python",
    "ffff _PyEval_EvalFrameDefault (/usr/bin/python3.11)": "Python",
    "ffff torch::autograd::THPVariable_add (/x/libtorch_python.so)": "Python",
    "ffff at::native::copy_kernel (/x/libtorch_cpu.so)": "torch",
    "ffff __memset_avx512_unaligned_erms (/usr/lib/libc.so.6)": "memory",
    "ffff clear_page_erms ([kernel.kallsyms])": "system",
    "ffff __logf_fma (/usr/lib/libm.so.6)": OTHER,
}


@pytest.mark.parametrize(("look", "wanted"), LOOKS.items())
def test_a_look_falls_under_one_kind(look: str, wanted: str) -> None:
    assert kind(look) == wanted


def test_shares_by_hand() -> None:
    """Ten seconds of processors, in which three were seen multiplying and two waiting."""
    product = "ffff cblas_sgemm (/x/libtorch_cpu.so)"
    wait = "ffff [unknown] (/x/libgomp.so.1)"
    found = shares([product] * (3 * FREQUENCY) + [""] + [wait] * (2 * FREQUENCY), 10.0)
    assert tuple(found) == ORDER
    assert found["products"] == pytest.approx(0.3)
    assert found["waiting"] == pytest.approx(0.2)
    assert found[IDLE] == pytest.approx(0.5)
    assert "| work |" in table({"work": found})
    assert "| 30% |" in table({"work": found})
    assert len(table({"work": found}).splitlines()[0].split("|")) == len(KINDS) + 6


def test_a_process_is_looked_at() -> None:
    perf = profile.recorder()
    if perf is None:
        pytest.skip("perf is not installed, or may not look")
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            with watched(perf, busy.pid) as found:
                assert not found
                time.sleep(1.0)
        finally:
            busy.kill()
    assert found["Python"] > 0.1
    assert found["Python"] == max(share for name, share in found.items() if name != IDLE)
    assert sum(found.values()) == pytest.approx(1.0)


def test_without_perf_nothing_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile.shutil, "which", lambda name: None)
    assert profile.recorder() is None
