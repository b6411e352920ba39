"""Texts of /proc/cpuinfo as the kernel prints them for these processors, shortened to what tells them apart."""

from pathlib import Path

import pytest

from edgegan.engine.dot_product import lacking

I5_4590 = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 60
model name\t: Intel(R) Core(TM) i5-4590 CPU @ 3.30GHz
stepping\t: 3
flags\t\t: fpu sse sse2 ssse3 fma sse4_1 sse4_2 movbe aes xsave avx f16c rdrand bmi1 avx2 bmi2
"""
EPYC_9B14 = """processor\t: 0
vendor_id\t: AuthenticAMD
cpu family\t: 25
model\t\t: 17
model name\t: AMD EPYC 9B14
stepping\t: 1
flags\t\t: fpu sse sse2 ssse3 fma avx f16c avx2 avx512f avx512bw avx512vl avx512_bf16 avx512_vnni
"""
I5_12600 = EPYC_9B14.replace("avx512_vnni", "avx_vnni").replace("AuthenticAMD", "GenuineIntel")
PI_4 = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
"""
PI_5 = PI_4.replace(
    "crc32 cpuid", "aes crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
).replace("0xd08", "0xd0b")


def cpu(root: Path, *cores: str) -> Path:
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text("\n".join(cores))
    return root


@pytest.mark.parametrize("core", [EPYC_9B14, I5_12600, PI_5], ids=["EPYC", "i5-12600", "Cortex-A76"])
def test_a_cpu_with_dot_products_lacks_nothing(tmp_path, core):
    assert lacking(cpu(tmp_path, core, core)) == ""


@pytest.mark.parametrize(
    ("core", "says"),
    [(I5_4590, "this CPU has no VNNI"), (PI_4, "this CPU has no dot product of bytes (asimddp)")],
    ids=["i5-4590", "Cortex-A72"],
)
def test_one_without_says_so(tmp_path, core, says):
    assert says in lacking(cpu(tmp_path, core))


def test_each_kind_of_core_counts(tmp_path):
    assert "asimddp" in lacking(cpu(tmp_path, PI_5, PI_4))


def test_what_the_kernel_does_not_tell_is_not_guessed(tmp_path):
    assert lacking(tmp_path) == "the kernel does not say what this CPU can"
