"""The command line: results on stdout alone, mistakes in one line, exit codes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgegan import __version__, cli
from edgegan.config import Config, load_config
from edgegan.errors import ModelDisagreement

Captured = pytest.CaptureFixture[str]


def edgegan(*arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "edgegan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **settings)


def replaced(monkeypatch: pytest.MonkeyPatch, handler: Any) -> None:
    """Let `edgegan config` do something else."""
    help_text, add_arguments, _ = cli._COMMANDS["config"]
    monkeypatch.setitem(cli._COMMANDS, "config", (help_text, add_arguments, handler))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no command was given"),
        (["pak"], "there is no command 'pak': did you mean 'pack'?"),
        (["run", "--framse", "3"], "there is no option '--framse': did you mean '--frames'?"),
        (["run", "--frame", "3"], "there is no option '--frame': did you mean '--frames'?"),
        (["--jsn", "config"], "there is no option '--jsn'"),
        (["run", "--frames", "x"], "argument --frames: invalid int value: 'x': see edgegan run --help"),
        (["run", "--frames", "0"], "frames: is 0, but should be greater than or equal to 1"),
        (["run", "--camera", "clip.mp4"], "camera: 'clip.mp4' is no URI: write it as scheme://"),
        (["run", "--runtime", "onxruntime"], "did you mean 'onnxruntime'?"),
        (["run", "no.yaml"], "cannot read no.yaml: No such file or directory"),
        (["run", "a.yaml", "b.yaml"], "'b.yaml' is one argument too many"),
        (["config", "--camera", "file://a.mp4?raet=3"], "has no option 'raet': did you mean 'rate'?"),
        (["bench", "--precision", "fp31"], "precision: cannot be \"fp31\": did you mean 'fp32'?"),
        (["bench", "--seconds", "-1"], "seconds: is -1.0, but should be greater than 0"),
        (["demo", "--seconds", "0"], "seconds: is 0.0, but should be greater than 0"),
        (["inspect", "no.edgegan"], "no.edgegan"),
        (["trace", "sumary", "x"], "did you mean 'summary'?"),
        (["trace", "summary", "no.trace"], "no.trace"),
        (["pack", "-o", "b"], "no model was given"),
        (["pack", "no.onnx", "-o", "b"], "no.onnx"),
        (["pack", "m.onnx", "-o", "b", "--size", "256"], "'256' is no size; write HEIGHTxWIDTH"),
        (["pack", "m.onnx", "-o", "b", "--input-range", "-1"], "'-1' is no range; write LOW,HIGH"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: Sequence[str], said: str, capsys: Captured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("edgegan: error: ")
    assert err.count("\n") == 1
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_with_json_a_mistake_is_json_too(capsys: Captured) -> None:
    assert cli.main(["run", "--framse", "3", "--json"]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "error": {"message": "there is no option '--framse'", "mend": "did you mean '--frames'?"}
    }
    assert err == "edgegan: error: there is no option '--framse': did you mean '--frames'?\n"


def test_all_mistakes_of_a_file_are_told(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "c.yaml").write_text("framse: 3\nthreads: -1\n")
    assert cli.main(["config", str(tmp_path / "c.yaml")]) == 2
    err = capsys.readouterr().err
    assert "c.yaml has 2 mistakes" in err
    assert "c.yaml:1: framse" in err
    assert "c.yaml:2: threads" in err


def test_config_prints_what_takes_effect_and_can_be_read_back(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "c.yaml").write_text("frames: 3\nlog: {level: debug}\n")
    options = ["--display", "null://", "--display", "file://o.mp4", "--trace", "t.trace", "--seconds", "4"]
    assert cli.main(["config", str(tmp_path / "c.yaml"), *options]) == 0
    text = capsys.readouterr().out
    (tmp_path / "effective.yaml").write_text(text)
    config = load_config(tmp_path / "effective.yaml", {})
    assert (config.frames, config.seconds, config.trace.file) == (3, 4.0, "t.trace")
    assert config.displays == ("null://", "file://o.mp4")

    assert cli.main(["config", str(tmp_path / "c.yaml"), *options, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == yaml.safe_load(text)


def test_config_template_is_the_commented_default(tmp_path: Path, capsys: Captured) -> None:
    assert cli.main(["config", "--template"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# ")
    (tmp_path / "mine.yaml").write_text(text)
    assert load_config(tmp_path / "mine.yaml", {}) == Config()


def test_config_goes_on_where_a_drivers_library_is_absent(
    capsys: Captured, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "edgegan.display.window", raising=False)
    monkeypatch.setitem(sys.modules, "sdl2", None)
    assert cli.main(["config", "--display", "window://", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["displays"] == ["window://"]
    assert "pip install 'edgegan[window]'" in caplog.text


def test_a_failure_that_was_foreseen_is_one_line_and_exit_code_1(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disagree(args: object) -> cli.Outcome:
        raise ModelDisagreement("it draws something else", "report it")

    replaced(monkeypatch, disagree)
    assert cli.main(["config"]) == 1
    assert capsys.readouterr().err == "edgegan: error: it draws something else: report it\n"
    assert cli.main(["config", "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_bug_shows_its_traceback_and_is_exit_code_1(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced(monkeypatch, lambda args: {}["nothing"])
    assert cli.main(["config", "--json"]) == 1
    out, err = capsys.readouterr()
    assert "Traceback" in err
    assert json.loads(out)["error"]["message"] == "KeyError: 'nothing'"


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(args: object) -> cli.Outcome:
        raise KeyboardInterrupt

    replaced(monkeypatch, interrupted)
    assert cli.main(["config"]) == 130


def test_what_libraries_and_child_processes_print_is_kept_off_stdout(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def noisy(args: object) -> cli.Outcome:
        print("python")
        os.write(1, b"native\n")
        subprocess.run(["echo", "child"], check=True)
        return {"a": 1}, "a is 1"

    replaced(monkeypatch, noisy)
    assert cli.main(["config", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == {"a": 1}
    assert {"python", "native", "child"} <= set(err.split())


def test_a_reader_that_went_away_is_no_trouble() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "edgegan", "config", "--template"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_negative_ranges_need_no_equals_sign() -> None:
    args = cli._parse(["pack", "m.onnx", "--input-range", "-1,1", "--output-range=0,255", "-o", "b"])
    assert (args.input_range, args.output_range) == ((-1.0, 1.0), (0.0, 255.0))


def test_version_and_help() -> None:
    assert edgegan("--version").stdout == f"edgegan {__version__}\n"
    helped = edgegan("--help")
    assert helped.returncode == 0
    for command in cli._COMMANDS:
        assert f"\n    {command} " in helped.stdout
        assert edgegan(command, "--help").stdout.startswith(f"usage: edgegan {command} ")


def test_the_page_of_the_command_line_names_every_command_and_option() -> None:
    page = (Path(__file__).parents[1] / "docs" / "command-line.md").read_text("utf-8")
    _, commands = cli._parsers()
    for command, parser in commands.items():
        assert f"\n## edgegan {command} " in page or f"\n## edgegan {command}\n" in page
        options = set(re.findall(r"--[a-z-]+", parser.format_help())) - {"--help"}
        assert {option for option in options if f"`{option}" not in page} == set(), command
