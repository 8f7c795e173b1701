"""What the doctor finds, in healthy places and in such as are made sick here."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from heed.doctoring import hub, libraries, machine, places, versions
from heed.doctoring.check import Check
from heed.doctoring.examination import summary
from heed.host import computes_in_half, instruction_sets

NEEDS = [
    "torch>=2.9",
    "numpy>=2",
    "typer>=0.16",
    'psycopg[binary]>=3.2; extra == "postgres"',
    'only-elsewhere>=1; sys_platform == "nowhere"',
]


def by_name(checks: Iterable[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_versions_below_the_minimum_and_missing_ones() -> None:
    have = {"torch": "2.8.1", "numpy": "2.4.6"}.get
    found = by_name(versions.versions(NEEDS, have))
    assert found["torch"].level == "broken"
    assert found["torch"].says == "2.8.1, and Heed needs >=2.9"
    assert found["torch"].remedy == "pip install 'torch>=2.9'"
    assert (found["typer"].level, found["numpy"].level) == ("broken", "fine")
    assert not {"psycopg", "only-elsewhere"} & found.keys()


def test_known_bad_versions() -> None:
    bad = {"torch": (">=2.10,<2.11", "samples wrongly on this or that")}
    have = {"torch": "2.10.3+cpu", "numpy": "2.4", "typer": "1"}.get
    found = by_name(versions.versions(NEEDS, have, bad))
    assert found["torch"].level == "note"
    assert "samples wrongly" in found["torch"].says
    have = {"torch": "2.11", "numpy": "2.4", "typer": "1"}.get
    assert by_name(versions.versions(NEEDS, have, bad))["torch"].level == "fine"


def test_extras_name_their_command() -> None:
    lacking = by_name(versions.extras(NEEDS, lambda name: None))
    assert lacking["postgres"].level == "missing"
    assert lacking["postgres"].remedy == "pip install 'heed[postgres]'"
    assert lacking["lm_eval"].level == "missing"
    there = by_name(versions.extras(NEEDS, lambda name: "9"))
    assert there["postgres"].level == there["lm_eval"].level == "fine"


def program(text: str) -> tuple[str, ...]:
    return (sys.executable, "-c", text)


def told(text: str, **more: Any) -> dict[str, Check]:
    found = libraries.probe(speed=False, command=program(text), **more)
    return by_name([*libraries.libraries(found), *libraries.devices(found)])


TRIED = 'print(\'{"tried": "torch"}\', flush=True)\n'


def test_a_library_that_cannot_be_imported() -> None:
    says = '{"failed": "torch", "why": "OSError: libcudart.so.12: cannot open"}'
    found = told(f"print('greetings from a library')\nprint({says!r})")
    assert found["torch"].level == "broken"
    assert "libcudart.so.12" in found["torch"].says
    assert found["devices"].level == "note"


def test_a_library_that_takes_the_process_down() -> None:
    found = told(TRIED + "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    assert found["torch"].level == "broken"
    assert "signal 11" in found["torch"].says
    found = told(TRIED + "import time; time.sleep(60)", patience=0.5)
    assert "no answer within" in found["torch"].says
    gone = libraries.probe(speed=False, command=("/nowhere/python",))
    assert by_name(libraries.libraries(gone))["starting"].level == "broken"


def test_the_real_probe_sees_a_broken_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libtorch_cpu.so: undefined symbol')")
    for name in ("transformers", "peft", "scipy", "sklearn", "datasets", "matplotlib", "tokenizers",
                 "safetensors", "sqlalchemy", "fastapi"):  # fmt: skip
        (tmp_path / f"{name}.py").write_text("")
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), root]))
    found = libraries.probe(speed=True)
    assert found.failed == {"torch": "OSError: libtorch_cpu.so: undefined symbol"}
    assert "transformers" in found.imported
    assert found.torch is None
    assert found.died is None


def test_a_gpu_and_speeds() -> None:
    gpu = {"name": "G", "free": 2**30, "total": 2**31, "bf16": True}
    facts = {"threads": 2, "capability": "AVX2", "built_for_cuda": "13", "mps": False}
    found = libraries.Probed(torch={**facts, "cuda": [gpu]})
    row = {"device": "cuda:0", "float32": 1234.5, "bfloat16": None, "copy": 9.0}
    found.speed = [row]
    assert by_name(libraries.devices(found))["cuda:0"].says == "G, 1.0 of 2.0 GiB free, bf16"
    (speed,) = libraries.speeds(found)
    assert speed.says == "1,234 GF/s in float32, no bfloat16; 9 GB/s of memory"


@pytest.mark.parametrize(
    ("built", "driver", "remedy"),
    [(None, None, ""), ("13.0", None, ""), ("13.0", "/bin/x", "new enough for CUDA 13.0"),
     (None, "/bin/x", "install a torch that is built for CUDA")],
)  # fmt: skip
def test_no_gpu_to_be_seen(
    built: str | None, driver: str | None, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libraries.shutil, "which", lambda name: driver)
    facts = {"threads": 2, "capability": "AVX2", "built_for_cuda": built, "mps": True, "cuda": []}
    found = by_name(libraries.devices(libraries.Probed(torch=facts)))
    assert found["cuda"].level == "note"
    assert remedy in found["cuda"].remedy
    assert bool(found["cuda"].remedy) == bool(remedy)
    assert found["mps"].level == "note"


def test_places_that_work_and_that_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    well = by_name(places.place("runs", tmp_path, needs_sqlite=True))
    assert well["runs"].level == "fine"
    assert not list(tmp_path.iterdir())
    missing = by_name(places.place("runs", tmp_path / "not" / "there", needs_sqlite=True))
    assert missing["runs"].level == "broken"

    def refuses(file: Any, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(places.fcntl, "flock", refuses)
    sick = by_name(places.place("runs", tmp_path, needs_sqlite=True))
    assert sick["runs"].level == "broken"
    assert "flock does not work there" in sick["runs"].says
    monkeypatch.setattr(places.fcntl, "flock", lambda file, how: None)
    assert (
        "two could hold one lock"
        in by_name(places.place("runs", tmp_path, needs_sqlite=False))["runs"].says
    )


def test_network_drives_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/a / ext4 rw 0 0\nserver:/x {tmp_path} nfs4 rw 0 0\nbroken\n"
        f"/dev/b {tmp_path}/my\\040disk xfs rw 0 0\n"
    )
    assert places.file_system(tmp_path, mounts) == "nfs4"
    assert places.file_system(tmp_path / "my disk" / "x", mounts) == "xfs"
    assert places.file_system(Path("/"), mounts) == "ext4"
    assert places.file_system(Path("/"), tmp_path / "none") is None
    monkeypatch.setattr(places, "file_system", lambda folder: "nfs4")
    found = by_name(places.place("runs", tmp_path, needs_sqlite=True))
    assert found["runs"].level == "note"
    assert "PostgreSQL" in found["runs"].remedy


def test_instruction_sets(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("model name\t: X\nflags\t\t: fpu avx2 avx512_bf16 amx_tile\n")
    assert instruction_sets(path) == ["avx2", "avx512_bf16", "amx_tile"]
    assert computes_in_half(instruction_sets(path))
    path.write_text("Features\t: fp asimd bf16\n")
    assert instruction_sets(path) == ["asimd", "bf16"]
    assert instruction_sets(tmp_path / "none") is None
    assert not computes_in_half(None)
    assert not computes_in_half(["avx2", "avx512f"])


def test_more_threads_than_cores() -> None:
    found = by_name(machine.processor({"OMP_NUM_THREADS": "4096", "HOME": "/x"}))
    assert found["threads"].level == "note"
    assert found["threads"].value == {"OMP_NUM_THREADS": "4096"}
    assert by_name(machine.processor({}))["threads"].level == "fine"


def test_nothing_secret_is_told(tmp_path: Path) -> None:
    environ = {
        "HF_HOME": str(tmp_path), "HF_TOKEN": "hf_verysecret", "HF_HUB_OFFLINE": "1",
        "HTTPS_PROXY": "http://me:verysecret@proxy.example:3128",
        "HF_ENDPOINT": "http://me:verysecret@127.0.0.1:9/hub?key=verysecret",
    }  # fmt: skip
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "blob").write_bytes(b"x" * 1000)
    checks = list(hub.hub(online=True, environ=environ))
    assert "verysecret" not in str([check.to_json() for check in checks])
    found = by_name(checks)
    assert found["cache"].value == 1000
    assert found["offline"].value == ["HF_HUB_OFFLINE"]
    assert found["token"].says == "there is one"
    assert found["endpoint"].says == "http://127.0.0.1:9/hub"
    assert found["reachable"].level == "note"


@pytest.mark.parametrize(
    ("address", "proxy", "why"),
    [
        ("http://me:verysecret@127.0.0.1:port", "", "InvalidURL"),
        ("https://127.0.0.1:9", "no-such://me:verysecret@127.0.0.1:9", "ValueError"),
    ],
)
def test_an_address_or_a_proxy_that_is_none_is_a_line_of_the_page(
    address: str, proxy: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in hub.PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("https_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    found = hub.reachable(os.environ)
    assert found.level == "note"
    assert f"does not answer ({why})" in found.says
    assert "verysecret" not in str(found.to_json())


@pytest.mark.parametrize(
    "address", ["me:verysecret@hub.example/x", "//[verysecret", "verysecret", "http:verysecret"]
)
def test_an_address_without_its_scheme_shows_no_password(address: str) -> None:
    assert hub.plain(address) == "an address that is none"


def test_a_token_on_disk_is_seen_and_not_read(tmp_path: Path) -> None:
    environ = {"HF_HOME": str(tmp_path)}
    assert not hub.token(environ)
    (tmp_path / "token").write_text("hf_verysecret")
    (tmp_path / "token").chmod(0)
    assert hub.token(environ)


def test_the_summary_says_what_to_do() -> None:
    checks = [
        Check("a", "python", "fine", "3"),
        Check("a", "torch", "broken", "gone", "pip install torch"),
        Check("b", "lm_eval", "missing", "not there", "pip install lm_eval"),
        Check("c", "threads", "note", "many", "export OMP_NUM_THREADS=2"),
    ]
    assert summary(checks) == [
        "1 of 4 are fine.",
        "Optional and not there: lm_eval.",
        "Heed cannot work as it is: torch.",
        "  1. torch: pip install torch",
        "  2. threads: export OMP_NUM_THREADS=2",
    ]
