"""The device itself: board, processor, memory, heat, kernel, system, clock."""

import os
import re
import time
from pathlib import Path

from edgegan.board import describe_host
from edgegan.doctor.check import Check, Host

__all__ = ["clock", "machine", "system"]

_OLDEST_GLIBC, _OLDEST_SYSTEMD = (2, 35), (249,)
_HOT_CELSIUS = 80.0
_LITTLE_MEMORY_BYTES = 300 * 10**6
_FEATURES = (
    *("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16"),
    *("asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve"),
)
_SETS_ITS_OWN_PACE = ("intel_pstate", "amd-pstate-epp")


def machine(host: Host) -> list[Check]:
    """Board, processor, memory, governor, temperature."""
    return [_board(host), _processor(host), _memory(host), _governor(host), _temperature(host)]


def system(host: Host) -> list[Check]:
    """Kernel, release, C library, systemd."""
    kernel = host.text("proc/sys/kernel/osrelease") or os.uname().release
    release = re.search(r'^PRETTY_NAME="?([^"\n]*)', host.text("etc/os-release") or "", re.MULTILINE)
    return [
        Check("kernel", "ok", f"{kernel}, {os.uname().machine}"),
        Check("system", "ok", release[1])
        if release
        else Check("system", "absent", "no /etc/os-release says which"),
        _glibc(),
        _systemd(host),
    ]


def clock(host: Host) -> list[Check]:
    """The clock that frames are timed with, and the one on the wall."""
    resolution_ns = time.clock_getres(time.CLOCK_MONOTONIC) * 1e9
    source = host.text("sys/devices/system/clocksource/clocksource0/current_clocksource") or "source unknown"
    coarse = resolution_ns > 1e6
    mend = "latencies will be coarse: enable high-resolution timers in the kernel" if coarse else ""
    found = f"CLOCK_MONOTONIC to {resolution_ns:g} ns, {source}"
    return [Check("clock", "warning" if coarse else "ok", found, mend), _synchronised(host)]


def _synchronised(host: Host) -> Check:
    folder = host.root / "run/systemd/timesync"
    if (folder / "synchronized").exists():
        return Check("time of day", "ok", "synchronised by systemd-timesyncd")
    if folder.is_dir():
        mend = "check the network, then `timedatectl`: traces carry the time of day"
        return Check("time of day", "warning", "not synchronised yet", mend)
    return Check("time of day", "absent", "systemd-timesyncd does not run, so nothing tells")


def _board(host: Host) -> Check:
    named = [host.text(f"sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name")]
    model = describe_host(host.root)["model"] or " ".join(filter(None, named))
    return (
        Check("board", "ok", model)
        if model
        else Check("board", "absent", "neither firmware nor device tree name one")
    )


def _processor(host: Host) -> Check:
    lines = (host.text("proc/cpuinfo") or "").splitlines()
    values = {key.strip().lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    cores = sum(line.startswith("processor") for line in lines) or os.cpu_count()
    words = (values.get("flags") or values.get("features") or "").split()
    features = [feature for feature in _FEATURES if feature in words]
    model = values.get("model name") or os.uname().machine
    usable = f"{len(os.sched_getaffinity(0))} of {cores} CPUs"
    return Check("processor", "ok", ", ".join([model, usable, " ".join(features) or "no known extensions"]))


def _memory(host: Host) -> Check:
    lines = re.findall(r"^(\w+):\s+(\d+) kB", host.text("proc/meminfo") or "", re.MULTILINE)
    sizes = {name: int(kilobytes) * 1024 for name, kilobytes in lines}
    if not {"MemTotal", "MemAvailable"} <= sizes.keys():
        return Check("memory", "absent", "/proc/meminfo does not say")
    found = f"{sizes['MemTotal'] / 1e9:.1f} GB, {sizes['MemAvailable'] / 1e9:.1f} GB of it available"
    if sizes["MemAvailable"] < _LITTLE_MEMORY_BYTES:
        return Check("memory", "warning", found, "close other programs: a generator needs 300 MB and more")
    return Check("memory", "ok", found)


def _governor(host: Host) -> Check:
    paths = host.glob("sys/devices/system/cpu/cpu*/cpufreq/scaling_governor")
    found = {
        text for path in paths if (text := host.text(str(path.relative_to(host.root))))
    }  # offline: EBUSY
    if not found:
        return Check(
            "governor", "absent", "the kernel names none: it may belong to the machine around this one"
        )
    driver = host.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_driver") or "driver unknown"
    shown = f"{', '.join(sorted(found))} ({driver})"
    if "powersave" in found and driver not in _SETS_ITS_OWN_PACE:
        mend = "echo schedutil | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        return Check("governor", "warning", f"{shown}: always at the lowest clock", mend)
    return Check("governor", "ok", shown)


def _temperature(host: Host) -> Check:
    """The hottest of what can be read; a sensor that refuses gives no reading."""
    readings = []
    for path in (
        *host.glob("sys/class/thermal/thermal_zone*/temp"),
        *host.glob("sys/class/hwmon/*/temp*_input"),
    ):
        text = host.text(str(path.relative_to(host.root)))
        if text and re.fullmatch(r"\d+", text):
            readings.append((int(text) / 1000, _sensor(path)))
    if not readings:
        return Check("temperature", "absent", "no sensor can be read")
    celsius, sensor = max(readings)
    found = f"{celsius:.0f} °C ({sensor})"
    if celsius >= _HOT_CELSIUS:
        return Check("temperature", "warning", found, "give it air or a fan: at 80 to 85 °C boards slow down")
    return Check("temperature", "ok", found)


def _sensor(path: Path) -> str:
    for name in ("type", "name"):
        try:
            return (path.parent / name).read_text().strip()
        except OSError:
            continue
    return path.parent.name


def _glibc() -> Check:
    try:
        version = (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")
    except (ValueError, OSError):
        version = ""
    if not version:
        return Check("glibc", "warning", "another C library", "use Debian 12, Ubuntu 22.04 or later")
    old = tuple(map(int, version.split("."))) < _OLDEST_GLIBC
    mend = "use Debian 12, Ubuntu 22.04 or later: 2.35 is the oldest" if old else ""
    return Check("glibc", "warning" if old else "ok", version, mend)


def _systemd(host: Host) -> Check:
    """Its library carries the version in its name, so that no program of it has to run."""
    names = [
        path.name
        for pattern in ("usr/lib/systemd/libsystemd-shared-*.so", "usr/lib/*/systemd/libsystemd-shared-*.so")
        for path in host.glob(pattern)
    ]
    versions = sorted(int(match[1]) for name in names if (match := re.search(r"-(\d+)", name)))
    if not versions:
        return Check("systemd", "absent", "not installed: no service can be set up")
    running = "" if (host.root / "run/systemd/system").is_dir() else ", not running here"
    old = (versions[-1],) < _OLDEST_SYSTEMD
    mend = "use Debian 12, Ubuntu 22.04 or later: 249 is the oldest for the service" if old else ""
    return Check("systemd", "warning" if old else "ok", f"{versions[-1]}{running}", mend)
