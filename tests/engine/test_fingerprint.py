from importlib import metadata
from pathlib import Path

import pytest

from edgegan.engine.fingerprint import describe_device, differences, fingerprint, runtime_version

PI_5 = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

processor\t: 1
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

Revision\t: d04170
Model\t\t: Raspberry Pi 5 Model B Rev 1.0
"""
"""As the kernel prints it for a Cortex-A76 (arch/arm64/kernel/cpuinfo.c); not captured from a board."""


def tree(root: Path, cpuinfo: str = PI_5, release: str = 'ID=debian\nVERSION_ID="12"\n') -> Path:
    for path, text in {"proc/cpuinfo": cpuinfo, "etc/os-release": release}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_names_the_cores_of_an_arm_board_once(tmp_path):
    device = describe_device(tree(tmp_path))
    (kind,) = device["cpus"]["kinds"]
    assert (kind["vendor"], kind["model"], kind["variant"]) == ("0x41", "0xd0b", "0x4")
    assert "asimddp" in kind["flags"].split()
    assert "crc32" not in kind["flags"].split()
    assert device["os"] == "debian 12"


def test_knows_big_and_little_cores(tmp_path):
    text = PI_5.replace("0xd0b", "0xd05", 1)
    assert len(describe_device(tree(tmp_path, text))["cpus"]["kinds"]) == 2


def test_nothing_to_read_is_no_error(tmp_path):
    device = describe_device(tmp_path)
    assert (device["os"], device["board"], device["jetson"], device["cpus"]["kinds"]) == (
        None,
        None,
        None,
        [],
    )


def test_this_device_is_described_the_same_twice():
    assert describe_device() == describe_device()


def test_the_runtime_is_found_without_loading_it():
    assert runtime_version("onnxruntime") == metadata.version("onnxruntime")
    assert runtime_version("nothing-of-this-name") is None


@pytest.mark.parametrize(
    "other",
    [
        ("b" * 64, "onnxruntime", "1.0", {"os": "debian 12"}, {}),
        ("a" * 64, "openvino", "1.0", {"os": "debian 12"}, {}),
        ("a" * 64, "onnxruntime", "1.1", {"os": "debian 12"}, {}),
        ("a" * 64, "onnxruntime", "1.0", {"os": "debian 13"}, {}),
        ("a" * 64, "onnxruntime", "1.0", {"os": "debian 12"}, {"precision": "bf16"}),
    ],
)
def test_whatever_differs_gives_another_fingerprint(other):
    facts = ("a" * 64, "onnxruntime", "1.0", {"os": "debian 12"}, {})
    assert fingerprint(*facts) == fingerprint(*facts)
    assert fingerprint(*facts) != fingerprint(*other)


def test_says_what_differs():
    assert (
        differences({"os": "debian 12", "board": "a"}, {"os": "debian 13", "board": "a"})
        == "os debian 12, here debian 13"
    )
    assert differences({"os": "debian 12"}, {"os": "debian 12"}) == ""
