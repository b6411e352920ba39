"""Whatever stands in a configuration or in a recipe: what it means, or one error that says what to do."""

import pytest
from hypothesis import example, given, settings

from edgegan.config import Config
from edgegan.pack.recipe import Recipe
from tests.fuzz.cage import Cage
from tests.fuzz.garbage import quoted, uris, yaml_files

MANY = 10 * settings().max_examples


@settings(max_examples=MANY)
@given(content=yaml_files(Config))
@example(content=b"bundle: 2026-13-45")
@example(content=b"bundle: !!int x")
@example(content=b'bundle: "\\UFFFFFFFF"')
@example(content=b"frames: " + b"9" * 5000)
@example(content=b"seconds: " + b"1:" * 3000 + b"1")
@example(content=b"[" * 5000)
def test_a_configuration(cage: Cage, content: bytes) -> None:
    (cage.work / "c.yaml").write_bytes(content)
    cage.run("config", "c.yaml", "--json", codes=(0, 2))
    (cage.work / "c.yaml").unlink()


@settings(max_examples=MANY // 4)
@given(content=yaml_files(Recipe))
def test_a_recipe(cage: Cage, content: bytes) -> None:
    (cage.work / "r.yaml").write_bytes(content)
    cage.run("pack", "--recipe", "r.yaml", "-o", "target", "--json", codes=(2,))
    (cage.work / "r.yaml").unlink()


@pytest.mark.parametrize("option", ["camera", "display", "generator"])
@given(uri=uris("camera") | uris("display") | uris("generator") | quoted())
def test_a_uri_on_the_command_line(cage: Cage, option: str, uri: str) -> None:
    if "\0" not in uri:  # no program can be given one
        cage.run("config", f"--{option}={uri}", "--json", codes=(0, 2))
