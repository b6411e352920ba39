"""The configuration: its default file, and every mistake at once with its line."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field

from edgegan.config import Config, Settings, load_config, load_yaml_model
from edgegan.errors import ConfigError
from edgegan.registry import Uri
from edgegan.resources import resource

BACKOFF_MISTAKE = (
    "c.yaml:9: worker: restart_backoff_limit_seconds is 2, less than restart_backoff_seconds, 20: "
    "the first wait cannot be longer than the longest"
)
ENDLESS = "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcd", "bcde", strict=True))
"""Each line holds the one before ten times."""

DEFAULT = resource("deploy/default.yaml")


def leaves(data: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Each value by its dotted key."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        inner = leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        found.update(inner)
    return found


def mistakes(tmp_path: Path, text: str) -> list[str]:
    """What is said of a file with this text, one line a mistake, without the folder."""
    path = tmp_path / "c.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    return [line.strip() for line in str(caught.value).replace(f"{tmp_path}/", "").splitlines()]


def test_the_default_file_holds_every_key_with_the_default_of_the_model() -> None:
    in_file = leaves(yaml.safe_load(DEFAULT.read_text("utf-8")))
    assert in_file == leaves(Config().model_dump(mode="json"))
    assert load_config(DEFAULT, {}) == Config()


def test_the_default_file_says_something_of_each_top_level_key() -> None:
    lines = DEFAULT.read_text("utf-8").splitlines()
    uncommented = [
        key
        for key in Config.model_fields
        if not any(
            line.startswith(f"{key}:") and lines[i - 1].startswith("#") for i, line in enumerate(lines)
        )
    ]
    assert uncommented in ([], ["log"])  # the key below `log` says it


@pytest.mark.parametrize("path", sorted(DEFAULT.parent.glob("*.yaml")), ids=lambda path: path.name)
def test_each_shipped_configuration_is_valid(path: Path) -> None:
    load_config(path, {})


def test_all_mistakes_are_told_at_once_with_line_and_mend(tmp_path: Path) -> None:
    text = """\
framse: 3
threads: 4
displays: [window://, nul://, clip]
runtime: onnxruntim
threads: 5
trace:
  fil: a.trace
  flush_seconds: -1
worker: {restart_backoff_seconds: 20, restart_backoff_limit_seconds: 2}
log:
"""
    assert mistakes(tmp_path, text) == [
        "c.yaml has 9 mistakes",
        "c.yaml:1: framse: there is no such key: did you mean 'frames'?",
        "c.yaml:2: threads: given again in line 5: keep one of the two",
        "c.yaml:3: displays[1]: there is no display driver 'nul': did you mean 'null'?",
        "c.yaml:3: displays[2]: 'clip' is no URI: write it as scheme://path?option=value, e.g. file://clip.mp4",
        "c.yaml:4: runtime: cannot be \"onnxruntim\": did you mean 'onnxruntime'?",
        "c.yaml:7: trace.fil: there is no such key: did you mean 'file'?",
        "c.yaml:8: trace.flush_seconds: is -1, but should be greater than 0",
        BACKOFF_MISTAKE,
        "c.yaml:10: log: is null, but should hold keys: write 'key: value' lines, or leave it out",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("frames: 1\n\tseconds: 2\n", "c.yaml:2: broken YAML: found character '\\t'"),
        ("bundle: 'a\n", "c.yaml:2: broken YAML: found unexpected end of stream"),
        ("bundle: !!python/object:os.system x\n", "c.yaml:1: broken YAML: could not determine a constructor"),
        ("frames: 1\n---\nframes: 2\n", "c.yaml:2: broken YAML: but found another document"),
        ("{[a]: 1}\n", "c.yaml:1: broken YAML: found unhashable key"),
        ("- frames\n", 'c.yaml:1: is ["frames"], but should hold keys'),
        ("just text\n", 'c.yaml:1: is "just text", but should hold keys'),
        ("frames: true\n", "c.yaml:1: frames: is true, but should be a whole number: write it in digits"),
        ("frames: 0\n", "c.yaml:1: frames: is 0, but should be greater than or equal to 1"),
        ("frames: 1.5\n", "c.yaml:1: frames: is 1.5, but should be a whole number: write it in digits"),
        ("seconds: .inf\n", "c.yaml:1: seconds: is Infinity, but should be a finite number"),
        ("bundle: 5\n", "c.yaml:1: bundle: is 5, but should be a text: write one, in quotes"),
        ("displays: []\n", "c.yaml:1: displays: is []: give at least 1"),
        ("displays: window://\n", 'c.yaml:1: displays: is "window://", but should be a list: put it in'),
        ("displays:\n  - null://\n  - ''\n", "c.yaml:3: displays[1]: '' is no URI"),
        ("displays: null\n", "c.yaml:1: displays: is null, but should be a list: put it in brackets: [A]"),
        ("displays: [null]\n", "c.yaml:1: displays[0]: is null, but should be a text: write one, in quotes"),
        (
            "displays: [null://?size=8x8]\n",
            "got '?': put a URI with '?' in quotes when it stands in brackets",
        ),
        (
            "camera: pattern://?rate=1&rate=2\n",
            "c.yaml:1: camera: 'pattern://?rate=1&rate=2' gives the option",
        ),
        ("generator: passthru://\n", "did you mean 'passthrough'?"),
        ("on: 1\n", "c.yaml:1: on: there is no such key"),
        ("displays: [nul://]\n", "c.yaml:1: displays[0]: there is no display driver 'nul': did you mean"),
        ("seconds: 1.0e+9\n", "c.yaml:1: seconds: is 1000000000.0, but should be less than or equal to"),
        ("generator: onnxruntime://x.onnx\n", "c.yaml:1: generator: the generator 'onnxruntime://' needs"),
        ("generator: passthrough://\nbundle: b\n", "c.yaml:1: both the bundle 'b' and the generator"),
        ('frames: 1\ncamera: "file://\\ud800"\n', r"c.yaml:2: camera: 'file://\ud800' is not valid UTF-8"),
        ('bundle: "a\\0"\n', "c.yaml:1: bundle: the path 'a\\x00' holds a zero byte"),
        ("bundle: ~nosuchuser/b\n", "c.yaml:1: bundle: there is no home folder '~nosuchuser'"),
        ("trace: {file: ':memory:'}\n", "c.yaml:1: trace.file: SQLite keeps ':memory:' in memory"),
        ("worker: {frame_timeout_seconds: 0}\n", "worker.frame_timeout_seconds: is 0, but should be greater"),
        (
            "frames: 1\nbundle: 2026-13-45\n",
            'c.yaml:2: "2026-13-45" is no timestamp: month must be in 1..12: put',
        ),
        ("bundle: [x, !!int x]\n", 'c.yaml:1: "x" is no int: invalid literal'),
        ('frames: 1\nbundle: "\\UFFFFFFFF"\n', "c.yaml:2: no such character: "),
        ("frames: 0x" + "f" * 5000 + "\n", 'c.yaml:1: "0xffff'),
        ("a: &a [*a]\n", "c.yaml is nested too deep"),
        ("a: &a 1\n" + ENDLESS, "c.yaml holds more than 10000 values"),
    ],
)
def test_one_mistake_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    lines = mistakes(tmp_path, text)
    assert len(lines) == 1
    assert said in lines[0]


def test_who_knows_more_of_a_uri_tells_it_with_the_other_mistakes(tmp_path: Path) -> None:
    def check(kind: str, uri: Uri) -> None:
        if uri.options:
            raise ConfigError(f"no {kind} takes options", "leave them out")

    path = tmp_path / "c.yaml"
    path.write_text("frames: 0\ncamera: pattern://?a=1\ndisplays:\n  - null://\n  - null://?b=1\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, {}, check)
    assert str(caught.value).replace(f"{tmp_path}/", "").splitlines()[1:] == [
        "  c.yaml:1: frames: is 0, but should be greater than or equal to 1",
        "  c.yaml:2: camera: no camera takes options: leave them out",
        "  c.yaml:5: displays[1]: no display takes options: leave them out",
    ]
    with pytest.raises(ConfigError, match=r"^camera: no camera takes options: leave them out$"):
        load_config(None, {"camera": "pattern://?a=1"}, check)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("bundle: b\u00fcndel".encode("latin-1"))
    for name, said in [
        ("none.yaml", "No such file"),
        (".", "Is a directory"),
        ("latin.yaml", "save it as UTF-8"),
    ]:
        with pytest.raises(ConfigError, match=said):
            load_config(tmp_path / name, {})


def test_what_is_no_configuration_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "film.yaml").open("wb") as film:
        film.truncate(1 << 40)
    with pytest.raises(ConfigError, match="is no file but a pipe or a device"):
        load_config(tmp_path / "pipe", {})
    with pytest.raises(ConfigError, match="has 1099511627776 bytes: is it the right file"):
        load_config(tmp_path / "film.yaml", {})


def test_a_bundle_given_takes_the_place_of_the_files_generator(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("generator: passthrough://\n")
    config = load_config(tmp_path / "c.yaml", {"bundle": "b"})
    assert (config.bundle, config.generator) == ("b", "")
    (tmp_path / "c.yaml").write_text("bundle: b\n")
    config = load_config(tmp_path / "c.yaml", {"generator": "passthrough://"})
    assert (config.bundle, config.generator) == ("", "passthrough://")


def test_paths_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    (tmp_path / "c.yaml").write_text("bundle: ~/b\ntrace: {file: ~/t}\n")
    config = load_config(tmp_path / "c.yaml", {})
    assert (config.bundle, config.trace.file) == ("/home/x/b", "/home/x/t")
    assert load_config(None, {"bundle": "./~b"}).bundle == "./~b"


def test_an_empty_file_and_no_file_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("# nothing yet\n")
    assert load_config(tmp_path / "c.yaml", {}) == load_config(None, {}) == Config()


def test_what_is_given_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("frames: 3\nseconds: 4\ntrace: {file: a, flush_seconds: 1}\n")
    config = load_config(tmp_path / "c.yaml", {"frames": 5, "trace.file": "b", "displays": ["null://"]})
    assert (config.frames, config.seconds, config.displays) == (5, 4.0, ("null://",))
    assert (config.trace.file, config.trace.flush_seconds) == ("b", 1.0)


def test_mistakes_in_what_is_given() -> None:
    with pytest.raises(
        ConfigError, match=r"^camera: there is no camera driver 'flie': did you mean 'file'\?$"
    ):
        load_config(None, {"camera": "flie://a.mp4"})


def test_merged_keys_and_aliases_work(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("trace: &t {file: a}\nlog:\n  level: debug\nworker: {}\n")
    assert load_config(tmp_path / "c.yaml", {}).trace.file == "a"
    lines = mistakes(tmp_path, "trace: &t {file: a}\nlog:\n  <<: *t\n  level: debug\n")
    assert lines == ["c.yaml:2: log.file: there is no such key: known are: level"]


def test_of_many_mistakes_some_are_shown(tmp_path: Path) -> None:
    lines = mistakes(tmp_path, "camera: pattern://\n" * 5001)
    assert lines[0] == "c.yaml has 5000 mistakes"
    assert lines[20] == "c.yaml:1: camera: given again in line 21: keep one of the two"
    assert lines[21:] == ["and 4980 more"]
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "c.yaml", {})
    assert [mistake.line for mistake in caught.value.mistakes] == [1] * 20


def test_a_file_that_is_long_is_not_even_parsed(tmp_path: Path) -> None:
    (line,) = mistakes(tmp_path, "# a long comment\n" * 20_000)
    assert line == "c.yaml has 340000 bytes: is it the right file?"


def test_configuration_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().frames = 3  # type: ignore[misc]


class Layer(Settings):
    """For the test below."""

    range: tuple[float, float]
    file: Path | None = None


class Recipe(Settings):
    """A model of another kind, as `pack` has one."""

    name: str
    layers: dict[str, Layer] = Field(default_factory=dict)


def test_any_model_can_be_read_with_lines(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("name: paint\nlayers:\n  first: {range: [-1, 1], file: a.onnx}\n")
    assert load_yaml_model(path, Recipe).layers["first"] == Layer(range=(-1.0, 1.0), file=Path("a.onnx"))

    path.write_text("layers:\n  first:\n    rnage: [-1, 1]\n  second:\n    range: [1]\n")
    with pytest.raises(ConfigError) as caught:
        load_yaml_model(path, Recipe)
    assert [line.partition("recipe.yaml")[2] for line in str(caught.value).splitlines()] == [
        " has 4 mistakes",
        ":1: name: is missing: every such entry needs it",
        ":2: layers.first.range: is missing: every such entry needs it",
        ":3: layers.first.rnage: there is no such key: did you mean 'range'?",
        ":5: layers.second.range[1]: is missing: every such entry needs it",
    ]
