"""The cage itself: each thing that it is to catch is caught."""

import pytest

from tests.fuzz import cage as module
from tests.fuzz.cage import Cage, Outcome, judge

FINE = ("--generator", "passthrough://", "--display", "null://")


def outcome(code: int, stderr: str, stdout: str = "", *arguments: str) -> Outcome:
    """What a command could have given."""
    return Outcome(arguments, code, stdout, stderr)


@pytest.mark.parametrize(
    "bad",
    [
        outcome(-11, ""),
        outcome(3, "edgegan: error: x: y\n"),
        outcome(2, ""),
        outcome(2, "edgegan: error: a\nedgegan: error: b\n"),
        outcome(2, "edgegan: error: \n"),
        outcome(0, "edgegan: error: a\n"),
        outcome(1, "Traceback (most recent call last):\nedgegan: error: x\n"),
        outcome(1, "edgegan: error: x: a bug: please report it with the traceback\n"),
        outcome(0, "", "", "--json"),
        outcome(0, "", "{}{}", "--json"),
        outcome(0, "", '{"error": {}}', "--json"),
        outcome(2, "edgegan: error: x\n", '{"error": {"message": "x", "mend": ""}}', "--json"),
    ],
)
def test_a_bad_end_is_seen(bad: Outcome) -> None:
    with pytest.raises(AssertionError):
        judge(bad)


def test_a_good_end_is_let_through() -> None:
    judge(outcome(0, "INFO x: y\n", '{"frames": 1}', "--json"))
    judge(outcome(2, "edgegan: error: x: y\n", '{"error": {"message": "x", "mend": "y"}}', "--json"))


@pytest.mark.parametrize("how", ["run", "spawn"])
def test_what_is_written_elsewhere_is_seen(cage: Cage, how: str) -> None:
    command = ("run", "--camera", "pattern://", *FINE, "--frames", "1", "--trace", "../home/t")
    with pytest.raises(AssertionError, match="touched"):
        getattr(cage, how)(*command)
    (cage.folder / "home/t").unlink()


@pytest.mark.parametrize("how", ["run", "spawn"])
def test_what_hangs_is_ended(cage: Cage, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cage.run("config")
    monkeypatch.setattr(module, "SECONDS", 2.0)
    with pytest.raises(AssertionError, match="hangs"):
        getattr(cage, how)("run", "--camera", "pattern://", *FINE)
    monkeypatch.undo()
    cage.run("config", codes=(0,))


def test_what_stays_open_is_seen(cage: Cage) -> None:
    cage.run("config")
    assert cage.server is not None
    for what in ("descriptors", "threads"):
        held = cage.server._held
        answer = {
            "peak_megabytes": 1,
            "children": [],
            "descriptors": held["descriptors"],
            "threads": held["threads"],
        }
        with pytest.raises(AssertionError, match=what):
            cage.server._compare(["config"], {**answer, what: [*answer[what], "another"]})
        held[what] = answer[what]
    with pytest.raises(AssertionError, match="left processes"):
        cage.server._compare(["config"], {**answer, "children": [1]})


def test_a_crash_is_seen_and_the_next_command_runs(cage: Cage) -> None:
    cage.run("config")
    assert cage.server is not None
    cage.server._process.kill()
    assert cage.server.run(["config"]).code == -9
    cage.run("config", codes=(0,))
