import os
import signal
import time

import cv2
import numpy as np
import psutil
import pytest

from edgegan.engine.candidates import DEFAULT, Candidate
from edgegan.engine.trial import Trial, picture_from_png
from edgegan.errors import BundleError, ConfigError, GeneratorError
from tests.engine.conftest import negative_bundle


def test_draws_and_times_in_a_process_of_its_own(bundle, tmp_path):
    (tmp_path / "seen.png").write_bytes(bundle.read_file("reference_input.png"))
    with Trial(DEFAULT, bundle.path, 1) as trial:
        assert trial.load()["description"]["threads"] == 1
        (drawn,) = trial.draw([tmp_path / "seen.png"], tmp_path)
        timing = trial.time(0.1)
        process = psutil.Process(trial.pid)
    assert np.array_equal(drawn, 255 - cv2.imread(str(tmp_path / "seen.png")))
    assert len(timing.latencies_ms) > 1
    assert 0 < min(timing.latencies_ms) <= 1000 * timing.seconds
    assert 20 < timing.peak_memory_mb < 1000
    assert not process.is_running()


def test_the_memory_of_whoever_starts_it_is_not_counted(bundle):
    np.ones(500 << 20, np.uint8)
    with Trial(DEFAULT, bundle.path, 1) as trial:
        trial.load()
        assert 20 < trial.time(0.1).peak_memory_mb < 400


def test_draws_at_a_cameras_pace(bundle):
    with Trial(DEFAULT, bundle.path, 1) as trial:
        trial.load()
        assert 8 <= len(trial.time(0.5, rate_hertz=20).latencies_ms) <= 11


def test_says_why_a_model_cannot_be_loaded(tmp_path):
    broken = negative_bundle(tmp_path / "broken", model_fp32=b"no model")
    with (
        Trial(DEFAULT, broken.path, 1) as trial,
        pytest.raises(GeneratorError, match="cannot load the model"),
    ):
        trial.load()


def test_says_why_there_is_no_such_driver(bundle):
    with (
        Trial(Candidate("abacus", "fp32", "fp32"), bundle.path, 1) as trial,
        pytest.raises(ConfigError, match="abacus"),
    ):
        trial.load()


def test_a_crash_there_is_an_error_here(bundle):
    with Trial(DEFAULT, bundle.path, 1) as trial:
        trial.load()
        os.kill(trial.pid, signal.SIGSEGV)
        with pytest.raises(GeneratorError, match="its process died: it was killed by SIGSEGV"):
            trial.time(0.1)


def test_a_hang_there_is_an_error_here(bundle):
    with Trial(DEFAULT, bundle.path, 1) as trial:
        trial.load()
        trial._timeout_s = 0.5
        os.kill(trial.pid, signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(GeneratorError, match=r"did not answer within 0\.5 s"):
            trial.draw([bundle.path / "reference_input.png"], bundle.path)
        assert not psutil.pid_exists(trial.pid)  # what is timed beside it has the machine for itself
    assert time.monotonic() - start < 5


def test_what_is_no_picture_is_refused():
    with pytest.raises(BundleError, match="damaged"):
        picture_from_png(b"")
