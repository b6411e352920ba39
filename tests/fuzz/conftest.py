"""How many examples: few and always the same by default, many and new ones with EDGEGAN_FULL=1 or `tools/fuzz.py`."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.fuzz.cage import Cage

COMMON = {
    "deadline": None,  # the cage has a time limit of its own, which also ends what hangs
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
}
settings.register_profile("bounded", derandomize=True, database=None, max_examples=20, **COMMON)
settings.register_profile("full", max_examples=int(os.environ.get("EDGEGAN_FUZZ_EXAMPLES", "300")), **COMMON)
endless = {"EDGEGAN_FULL", "EDGEGAN_FUZZ_EXAMPLES"} & os.environ.keys()
settings.load_profile("full" if endless else "bounded")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Many examples take longer than other tests may."""
    for item in items:
        if endless and "fuzz" in item.path.parts:
            item.add_marker(pytest.mark.timeout(7200))


@pytest.fixture(scope="module")
def cage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cage]:
    """One for all examples of a file; what an example makes it removes."""
    cage = Cage(tmp_path_factory.mktemp("fuzz"))
    yield cage
    cage.close()
