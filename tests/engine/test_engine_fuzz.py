"""Whatever `engine.json` says: it is opened and described, or refused as damaged; it never crashes a worker."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgegan.engine.store import Engine, Store
from edgegan.errors import EngineError
from edgegan.report.text import engine_text
from tests.engine.conftest import negative_bundle
from tests.engine.test_store import manifest

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("fuzz")
    bundle = negative_bundle(folder / "negative")
    whole = manifest(bundle)
    whole["measured"] = [{**whole["ladder"][0], "passed": True, "why": None}]
    return Store(folder / "store").put(bundle, whole)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where a value lies, and all values inside it."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, one in inner for place in places(one, (*path, key)))]


def changed(whole: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    whole = copy.deepcopy(whole)
    around = whole
    for key in place[:-1]:
        around = around[key]
    around[place[-1]] = value
    return whole


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_changed_manifest_is_opened_or_damaged(engine: Engine, tmp_path: Path, data: st.DataObject) -> None:
    whole = json.loads(json.dumps(engine.manifest))
    place = data.draw(st.sampled_from(places(whole)))
    file = engine.path / "engine.json"
    before = file.read_bytes()
    try:
        file.write_text(json.dumps(changed(whole, place, data.draw(ANYTHING))))
        opened = Engine.open(engine.path)
        engine_text(opened.describe())
        json.dumps(opened.describe(), allow_nan=False)
        opened.misfit()
    except EngineError:
        pass
    finally:
        file.write_bytes(before)


@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(state=ANYTHING, key=st.sampled_from([None, "good", "tried", "failed"]))
def test_whatever_the_state_says_a_rung_can_be_begun(engine: Engine, state: Any, key: str | None) -> None:
    whole = {"good": [], "tried": {}, "failed": {}}
    (engine.path / "state.json").write_text(json.dumps(state if key is None else {**whole, key: state}))
    engine.distrust(engine.ladder[0])
    engine.begin(engine.ladder[0])
    assert engine.state["tried"]["onnxruntime-fp32"][0] >= 1
