"""Every awkward export packs and draws what it drew, or is refused in the right sentence; and the docs say which."""

import re

import pytest

from tests.pack.awkward import CASES, Case, Outcome, table, table_in_docs, tried, without_figures

_outcomes: dict[int, Outcome] = {}


@pytest.mark.parametrize(
    ("number", "case"), list(enumerate(CASES)), ids=[f"{n}-{case.export}" for n, case in enumerate(CASES)]
)
def test_packs_or_is_refused_in_the_right_sentence(number: int, case: Case, tmp_path):
    outcome = tried(case, tmp_path)
    _outcomes[number] = outcome
    print(f"{case.export}: {outcome.text()}")
    if case.refused is None:
        assert outcome.levels is not None, outcome.said
        assert outcome.levels <= 1
    else:
        assert re.search(case.refused, outcome.said), outcome.text()
        assert "\n" not in outcome.said


def test_the_table_of_the_docs_is_what_comes_of_it(tmp_path):
    """Runs after the others, and uses what they found; alone, it tries them itself."""
    outcomes = []
    for number, case in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcomes.append(_outcomes.get(number) or tried(case, folder))
    mend = "python -m tests.pack.awkward --write"
    assert without_figures(table(outcomes)) == without_figures(table_in_docs()), mend
