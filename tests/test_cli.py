"""The command line: results on stdout alone, mistakes in one line, exit codes."""

import io
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


def in_shell(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Let a shell run the command line as "$@", with its streams as the script has them."""
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "edgegan", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


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
        (
            ["trace", "summary", "x", "-o", "y"],
            "a summary is printed, not written: leave --format and -o out",
        ),
        (["trace", "export", "x", "--format", "perfetto"], "'perfetto' comes in a later version; use csv"),
        (["trace", "export", "x", "--format", "cvs"], "did you mean 'csv'?"),
        (["trace", "export", "no.trace"], "there is no trace 'no.trace'"),
        (["trace", "summary", "no.trace"], "no.trace"),
        (["pack", "-o", "b"], "no model was given"),
        (["record", "-o", "r"], "the following arguments are required: --camera"),
        (["record", "--camera", "patern://", "-o", "r"], "did you mean 'pattern'?"),
        (["record", "--camera", "pattern://?raet=3", "-o", "r"], "did you mean 'rate'?"),
        (["record", "--camera", "pattern://", "-o", "r", "--count", "0"], "--count cannot be 0: give 1 to"),
        (
            ["record", "--camera", "pattern://", "-o", "r", "--every", "nan"],
            "from picture to picture cannot be nan",
        ),
        (["record", "--camera", "pattern://", "-o", "r", "--countdown", "-1"], "--countdown cannot be -1"),
        (
            ["record", "--camera", "pattern://", "-o", "r", "--every", "1", "--seconds", "9"],
            "not allowed with",
        ),
        (["record", "--camera", "pattern://", "-o", "r", "--display", "nul://"], "did you mean 'null'?"),
        (["pack", "no.onnx", "-o", "b"], "no.onnx"),
        (["pack", "m.onnx", "-o", "b", "--size", "256"], "'256' is no size; write HEIGHTxWIDTH"),
        (["pack", "m.onnx", "-o", "b", "--input-range", "-1"], "'-1' is no range; write LOW,HIGH"),
        (["--jsno", "config"], "there is no option '--jsno': did you mean '--json'?"),
        (["config", "--camera", "pattern://?crop=contan"], "cannot be 'contan': did you mean 'contain'?"),
        (["config", "--generator", "onnxruntime://x.onnx"], "needs a model: give its bundle with --bundle"),
        (["run", "--generator", "onnxruntime://x.onnx"], "needs a model: give its bundle with --bundle"),
        (["run", "--generator", "passthrough://", "--bundle", "b"], "both the bundle 'b' and the generator"),
        (["bench", "--seconds", "1e300"], "seconds: is 1e+300, but should be less than or equal to 31"),
        (["demo", "--seconds", "1e300"], "seconds: is 1e+300, but should be less than or equal to 31"),
        (["run", "--seconds", "1e300"], "seconds: is 1e+300, but should be less than or equal to 31"),
        (["demo", "-o", "~nosuchuser/x"], "there is no home folder '~nosuchuser' for '~nosuchuser/x'"),
        (["inspect", "~nosuchuser/x"], "there is no home folder '~nosuchuser'"),
        (["run", "--trace", "~nosuchuser/x"], "there is no home folder '~nosuchuser'"),
        (["run", "--display", "file://~nosuchuser/x.mp4"], "there is no home folder '~nosuchuser'"),
        (["run", "--camera", "file://caf\udce9.mp4"], r"'file://caf\udce9.mp4' is not valid UTF-8: rename"),
        (["inspect", "caf\udce9"], r"'caf\udce9' is not valid UTF-8: rename the file"),
        (["run", "--trace", ""], "argument --trace: a path cannot be empty"),
        (["run", "--trace", ":memory:"], "trace.file: SQLite keeps ':memory:' in memory"),
        (["run", "--trace", "./:memory:"], "trace.file: SQLite keeps ':memory:' in memory"),
        (["config", "a" * 300 + ".yaml"], "File name too long"),
        (["inspect", "a" * 300], "File name too long"),
        (["run", "--bundle", "/dev/zero"], "it is no file but a pipe or a device"),
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


def test_with_json_each_mistake_of_a_configuration_stands_by_itself(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("framse: 3\nthreads: -1\n")
    assert cli.main(["config", str(file), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert "c.yaml has 2 mistakes" in error["message"]
    first, second = error["mistakes"]
    assert first == {
        "file": str(file),
        "line": 1,
        "key": "framse",
        "message": "there is no such key",
        "mend": "did you mean 'frames'?",
    }
    assert (second["line"], second["key"]) == (2, "threads")

    file.write_text("a: 1\nb: [\n")
    assert cli.main(["config", str(file), "--json"]) == 2
    (broken,) = json.loads(capsys.readouterr().out)["error"]["mistakes"]
    assert (broken["file"], broken["line"]) == (str(file), 3)
    assert broken["message"].startswith("broken YAML")


def test_a_mistake_of_the_command_line_has_no_file_and_no_line(capsys: Captured) -> None:
    assert cli.main(["config", "--threads", "0", "--json"]) == 2
    (mistake,) = json.loads(capsys.readouterr().out)["error"]["mistakes"]
    assert (mistake["file"], mistake["line"], mistake["key"]) == (None, None, "threads")


@pytest.mark.parametrize("command", ["config", "run"])
def test_a_wrong_option_in_a_file_is_told_with_its_line(
    command: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(
        "seconds: 20\ncamera: pattern://?rate=abc\ngenerator: passthrough://\n"
        "displays: [null://, 'null://?fitt=cover']\n"
    )
    assert cli.main([command, "c.yaml"]) == 2
    err = capsys.readouterr().err
    assert "c.yaml:2: camera: option 'rate' of camera driver 'pattern' cannot be 'abc': use a number" in err
    assert "c.yaml:4: displays[1]: display driver 'null' has no option 'fitt': did you mean 'fit'?" in err
    assert err.count("edgegan: error: ") == 1
    assert os.listdir() == ["c.yaml"]


def test_a_failure_that_no_line_explains_stays_what_it_is(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "c.yaml").write_text("generator: passthrough://\ndisplays: ['window://?x=1']\n")
    options = ["--camera", "file://absent.mp4", "--display", "null://", "--seconds", "20"]
    assert cli.main(["run", str(tmp_path / "c.yaml"), *options]) == 2
    assert "error: there are no pictures at 'absent.mp4'" in capsys.readouterr().err


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


def test_a_pipe_that_breaks_inside_is_not_taken_for_standard_output(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(args: object) -> cli.Outcome:
        raise BrokenPipeError("the worker has gone")

    replaced(monkeypatch, broken)
    assert cli.main(["config"]) == 1
    assert "BrokenPipeError: the worker has gone" in capsys.readouterr().err


def test_an_interrupt_is_130(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(args: object) -> cli.Outcome:
        raise KeyboardInterrupt

    replaced(monkeypatch, interrupted)
    assert cli.main(["config"]) == 130
    assert capsys.readouterr() == ("", "edgegan: error: interrupted\n")
    assert cli.main(["config", "--json"]) == 130
    assert json.loads(capsys.readouterr().out) == {"error": {"message": "interrupted", "mend": ""}}


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


@pytest.mark.parametrize("arguments", [["config"], ["config", "--json"], ["--help"], ["--version"]])
@pytest.mark.parametrize(("where", "why"), [("/dev/full", "No space left on device"), ("&-", "it is closed")])
def test_a_result_that_cannot_be_written_is_a_failure_in_one_line(
    arguments: list[str], where: str, why: str
) -> None:
    done = in_shell(f'exec "$@" >{where}', *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"edgegan: error: the result cannot be written to standard output: {why}")
    assert done.stderr.count("\n") == 1


def test_an_error_that_cannot_be_written_keeps_its_exit_code() -> None:
    for where in ("/dev/full", "&-"):
        done = in_shell(f'exec "$@" >{where}', "confi", "--json")
        assert done.returncode == 2
        assert done.stderr == "edgegan: error: there is no command 'confi': did you mean 'config'?\n"
        assert in_shell(f'exec "$@" 2>{where} >{where}', "confi", "--json").returncode == 2


def test_an_error_into_a_closed_pipe_is_said_on_stderr() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "edgegan", "confi", "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_with_every_stream_closed_a_command_still_works(tmp_path: Path) -> None:
    """Its files must not get the numbers of the streams."""
    trace = tmp_path / "t.trace"
    options = ["--camera", "pattern://?rate=50", "--generator", "passthrough://", "--display", "null://"]
    done = in_shell('exec "$@" 0<&- >&- 2>&-', "run", *options, "--frames", "3", "--trace", str(trace))
    assert done.returncode == 1  # the summary had nowhere to go
    assert json.loads(edgegan("trace", "summary", str(trace), "--json").stdout)["frames"] == 3


def test_what_the_terminal_cannot_show_is_escaped() -> None:
    terminal = io.TextIOWrapper(written := io.BytesIO(), "ascii")
    cli._write("b\u00fcndel\n", terminal, 1)
    assert written.getvalue() == b"b\\xfcndel\n"


def test_json_may_stand_before_the_command(capsys: Captured) -> None:
    assert cli.main(["--json", "config"]) == 0
    assert json.loads(capsys.readouterr().out)["displays"] == ["window://"]


def test_config_takes_what_run_takes(capsys: Captured) -> None:
    assert cli.main(["config", "--camera", "pattern://?crop=contain&rotate=90&mirror=1"]) == 0
    assert "crop=contain" in capsys.readouterr().out


def test_the_home_folder_is_expanded_in_every_path(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cli.main(["config", "--bundle", "~/b", "--trace", "~/t", "--json"]) == 0
    config = json.loads(capsys.readouterr().out)
    assert (config["bundle"], config["trace"]["file"]) == (f"{tmp_path}/b", f"{tmp_path}/t")
    for arguments in (["demo", "-o", "~/b"], ["pack", "m.onnx", "-o", "~/b"]):
        assert cli._parse(arguments).output == tmp_path / "b"
    for arguments in (["inspect", "~/b"], ["bench", "~/b"]):
        assert cli._parse(arguments).bundle == tmp_path / "b"
    assert cli._parse(["trace", "summary", "~/b"]).file == tmp_path / "b"
    assert cli._parse(["run", "~/b"]).config == tmp_path / "b"


def test_a_pipe_in_place_of_a_file_is_refused_at_once(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    for arguments in (
        ["inspect", "pipe"],
        ["config", "pipe"],
        ["bench", "pipe"],
        ["trace", "summary", "pipe"],
        ["trace", "export", "pipe"],
        ["pack", "--recipe", "pipe", "-o", "b"],
        ["pack", "pipe", "-o", "b"],
    ):
        assert cli.main(arguments) == 2
        assert re.search("no file but (a folder, )?a pipe or a device", capsys.readouterr().err)


def test_bench_shows_its_progress(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    def bench(bundle: object, *, progress: Any, **options: object) -> dict[str, Any]:
        progress("timing", 0.5)
        return {"latency_ms": {}}

    monkeypatch.setattr("edgegan.bench.bench", bench)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert cli.main(["bench"]) == 0
    assert " 50% timing" in capsys.readouterr().err


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
