"""Pushing, against a hub of our own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hub_server import hub
from huggingface_hub import constants
from typer.testing import CliRunner

from heed.cli.main import app
from heed.errors import UserError
from heed.exporting.hub import check_name, push

runner = CliRunner()
# httpx2 warns of what huggingface_hub 2.4 hands it.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let huggingface_hub speak to an address, with a token."""

    def to(address: str, token: str = "t0k3n") -> None:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_TOKEN", token)

    return to


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "figures").mkdir(parents=True)
    (made / "README.md").write_text("---\ntags: [heed]\n---\n# Toy\n")
    (made / "model.safetensors").write_bytes(b"weights" * 100)
    (made / "figures" / "training.png").write_bytes(b"\x89PNG")
    return made


def said(error: pytest.ExceptionInfo[UserError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert "t0k3n" not in message
    return message


def test_everything_is_uploaded_and_private(folder: Path, online: Callable[..., None]) -> None:
    with hub() as server:
        online(server.address)
        assert push(folder, "me/toy") == f"{server.address}/me/toy"
        assert server.repositories == {"me/toy": "private"}
        wanted = {str(path.relative_to(folder)): path.read_bytes()
                  for path in folder.rglob("*") if path.is_file()}  # fmt: skip
        assert server.files == wanted
        push(folder, "me/toy")  # it is there and private: pushed again
        push(folder, "me/open", private=False)
        assert server.repositories["me/open"] == "public"


def test_what_everybody_sees_is_pushed_to_only_when_asked(
    folder: Path, online: Callable[..., None]
) -> None:
    with hub(public=True) as server:
        online(server.address)
        with pytest.raises(UserError, match="everybody sees it") as error:
            push(folder, "me/toy")
        assert f"The export in {folder} is whole" in said(error)
        assert not server.files
        push(folder, "me/toy", private=False)
        assert server.files


@pytest.mark.parametrize(
    ("token", "refuses", "told"),
    [("wrong", 0, "said 401"), ("t0k3n", 403, "said 403"), ("t0k3n", 404, "said 404")],
    ids=["token", "rights", "owner"],
)
def test_a_hub_that_refuses(
    folder: Path, online: Callable[..., None], token: str, refuses: int, told: str
) -> None:
    with hub(refuses=refuses) as server:
        online(server.address, token)
        with pytest.raises(UserError, match=told) as error:
            push(folder, "me/toy")
        assert f"hf upload me/toy {folder} --private" in said(error)


def test_no_network(folder: Path, online: Callable[..., None]) -> None:
    with hub() as server:
        gone = server.address
    online(gone)
    with pytest.raises(UserError, match="broke off") as error:
        push(folder, "me/toy")
    assert "is whole" in said(error)


def test_offline_by_wish(
    folder: Path, online: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    online("http://127.0.0.1:1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        push(folder, "me/toy")


@pytest.mark.parametrize("name", ["toy", "me/toy/more", "me/..", "../toy", "me/to y", "", "/toy"])
def test_names_that_are_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "t0k3n")
    with pytest.raises(UserError, match="name the owner and the model"):
        check_name(name)


def test_the_verb_asks_for_a_token_before_it_writes(
    toy_run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = toy_run()
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    result = runner.invoke(app, ["export", str(run), str(tmp_path / "x"), "--push", "me/toy"])
    assert result.exit_code == 2
    assert "there is none" in " ".join(result.stderr.split())
    assert not (tmp_path / "x").exists()


def test_the_verb_keeps_what_it_cannot_push(
    toy_run: Callable[..., Path], tmp_path: Path, online: Callable[..., None]
) -> None:
    run, made = toy_run(), tmp_path / "x"
    with hub(refuses=403) as server:
        online(server.address)
        words = ["export", f"{run}:dpo", str(made), "--push", "me/toy"]
        result = runner.invoke(app, words)
        assert result.exit_code == 2
        assert "Traceback" not in result.output
    assert (made / "model.safetensors").exists()
    with hub() as server:
        online(server.address)
        assert runner.invoke(app, words).exit_code == 2  # it stands there already
        result = runner.invoke(app, [*words, "--force"])
        assert result.exit_code == 0, result.output
        assert f"On the hub: {server.address}/me/toy" in result.stdout
        assert set(server.files) == {
            str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()
        }
        assert b"'me/toy'" in server.files["README.md"]
