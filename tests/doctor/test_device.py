"""Cameras, screens, folders and the machine, on trees that a test lends."""

import os
import struct
from pathlib import Path

import pytest

from edgegan.doctor import Check, Host, devices, drawing, machine, storage
from edgegan.resources import shipped_bundle
from tests.camera.conftest import without_rights
from tests.display.conftest import xvfb  # noqa: F401 (a fixture)


def tree(root: Path, files: dict[str, str]) -> Host:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return Host(root, {})


def one(checks: list[Check], name: str) -> Check:
    (check,) = [check for check in checks if check.name == name]
    return check


# Cameras


def test_without_a_camera_it_says_what_to_use_meanwhile(tmp_path: Path) -> None:
    (check,) = devices.cameras(Host(tmp_path, {}))
    assert (check.state, check.found) == ("absent", "none at /dev/video*")
    assert "pattern://" in check.mend


def test_cameras_are_listed_by_number_with_their_names(tmp_path: Path) -> None:
    host = tree(
        tmp_path, {"dev/video10": "", "dev/video2": "", "sys/class/video4linux/video2/name": "C920\n"}
    )
    assert devices.cameras(host) == [
        Check("camera /dev/video2", "ok", "C920"),
        Check("camera /dev/video10", "ok", "unnamed"),
    ]


def test_a_camera_that_may_not_be_opened_names_the_group() -> None:
    with without_rights() as folder:
        host = tree(folder, {"dev/video0": ""})
        (folder / "dev/video0").chmod(0)
        (check,) = devices.cameras(host)
    assert (check.state, check.found) == ("warning", "unnamed: this user may not open it")
    assert "usermod -aG video" in check.mend


def test_a_camera_that_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/video0").symlink_to(tmp_path / "nowhere")
    (check,) = devices.cameras(Host(tmp_path, {}))
    assert (check.state, check.found) == ("warning", "unnamed: cannot be opened: No such file or directory")


@pytest.mark.parametrize(
    ("device_capabilities", "listed"),
    [
        (0x04200001, True),  # a webcam's pictures
        (0x04A00000, False),  # its second node: metadata
        (0x04201000, True),  # a capture board with planes
        (0x04204000, False),  # an encoder: memory to memory
        (0x04200002, False),  # it takes pictures and shows them
    ],
)
def test_nodes_that_give_no_pictures_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device_capabilities: int, listed: bool
) -> None:
    """As VIDIOC_QUERYCAP answers; `capabilities`, before it, are those of all nodes of the device together."""
    answer = struct.pack("16s32s32sIII12x", b"uvc", b"C920", b"usb", 6 << 16, 0x84A01003, device_capabilities)
    asked = []

    def ioctl(descriptor: int, request: int, given: bytes) -> bytes:
        asked.append((request, len(given)))
        return answer

    monkeypatch.setattr(devices.fcntl, "ioctl", ioctl)
    checks = devices.cameras(tree(tmp_path, {"dev/video0": ""}))
    assert [check.state for check in checks] == ["ok" if listed else "absent"]
    assert asked == [(0x80685600, 0x68)]


# Screens


def test_connectors(tmp_path: Path) -> None:
    assert devices.connectors(Host(tmp_path, {})) == [Check("connectors", "absent", "the kernel names none")]
    host = tree(tmp_path, {"sys/class/drm/card1-HDMI-A-1/status": "disconnected\n"})
    assert devices.connectors(host) == [Check("connectors", "absent", "nothing is connected")]
    tree(
        tmp_path,
        {
            "sys/class/drm/card1-HDMI-A-2/status": "connected\n",
            "sys/class/drm/card1-HDMI-A-2/modes": "1920x1080\n1280x720\n",
            "sys/class/drm/card1-DP-1/status": "connected\n",
        },
    )
    (check,) = devices.connectors(host)
    assert (check.state, check.found) == ("ok", "connected: DP-1, HDMI-A-2 1920x1080")


def test_without_a_desktop_there_is_no_screen(tmp_path: Path) -> None:
    (check,) = devices.screen(Host(tmp_path, {"DISPLAY": ""}))
    assert (check.state, check.found) == ("absent", "neither DISPLAY nor WAYLAND_DISPLAY is set")


def test_a_desktop_is_measured(xvfb: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    pytest.importorskip("sdl2")
    monkeypatch.setenv("DISPLAY", xvfb)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    (check,) = devices.screen(Host())
    assert check.state == "ok", check
    assert str(check.found).startswith(f"DISPLAY={xvfb}: x11, 800 x 600, ")


def test_a_desktop_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sdl2")
    monkeypatch.setenv("DISPLAY", ":9999")
    for name in ("WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    (check,) = devices.screen(Host())
    assert check.state == "warning"
    assert "DISPLAY=:9999 cannot be reached" in str(check.found)


def test_a_desktop_without_sdl_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":0")
    for content in ("ImportError('no library for SDL2')", "ModuleNotFoundError(\"No module named 'sdl2'\")"):
        (tmp_path / "sdl2.py").write_text(f"raise {content}")
        (check,) = devices.screen(Host())
        assert (check.state, check.found) == ("absent", "DISPLAY=:0, but no SDL2")
        assert "'edgegan[window]'" in check.mend


# Bundle, runtimes


def test_a_bundle_that_was_changed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(shipped_bundle().read_bytes())
    data[300_000] ^= 1
    (tmp_path / "paint.edgegan").write_bytes(data)
    monkeypatch.setattr(drawing, "shipped_bundle", lambda: tmp_path / "paint.edgegan")
    (check,) = drawing.bundle(Host())
    assert check.state == "failed"
    assert "hash differs" in str(check.found) or "damaged" in str(check.found)


def test_a_runtime_that_draws_something_else_is_told(tmp_path: Path) -> None:
    from edgegan.bundle import Bundle, write_bundle

    shipped = Bundle.open(shipped_bundle())
    files = {name: shipped.read_file(name) for name in shipped.manifest["files"]}
    files["reference_output.png"] = files["reference_input.png"]
    manifest = {k: v for k, v in shipped.manifest.items() if k not in ("format", "format_version", "files")}
    write_bundle(tmp_path / "other.edgegan", manifest, files)
    check = drawing._runtime("onnxruntime", tmp_path / "other.edgegan")
    assert check.state == "failed"
    assert "grey levels off" in str(check.found)


def test_a_runtime_that_is_not_installed_is_absent_and_no_failure() -> None:
    check = drawing._runtime("nosuchruntime", shipped_bundle())
    assert (check.state, check.found) == ("absent", "not installed")
    assert "'edgegan[nosuchruntime]'" in check.mend


# Folders


@pytest.mark.parametrize("small_disk", ["ro"], indirect=True)
def test_a_home_that_is_read_only_is_told(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(small_disk))
    store = one(storage.folders(Host()), "engine store")
    assert (store.state, "cannot be written to" in str(store.found)) == ("warning", True)
    assert "--store" in store.mend
    monkeypatch.chdir(small_disk)
    working = one(storage.folders(Host()), "working folder")
    assert (working.state, "cannot be written to" in str(working.found)) == ("warning", True)


def test_a_disk_that_is_nearly_full_is_told(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    store = one(storage.folders(Host()), "engine store")
    assert store.state == "warning"
    assert "0.0 GB free" in str(store.found)
    assert not list(small_disk.iterdir())


# The machine

PI = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd evtstrm asimdhp cpuid asimddp\n\nprocessor\t: 1\n"
    "Features\t: fp asimd evtstrm asimdhp cpuid asimddp\n",
    "proc/meminfo": "MemTotal:        4194304 kB\nMemFree: 1 kB\nMemAvailable:     200000 kB\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver": "cpufreq-dt\n",
    "sys/class/thermal/thermal_zone0/temp": "84321\n",
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "51000\n",
    "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    "usr/lib/aarch64-linux-gnu/systemd/libsystemd-shared-252.so": "",
    "run/systemd/timesync/.keep": "",
    "proc/sys/kernel/osrelease": "6.6.31+rpt-rpi-2712\n",
}


def test_a_board_that_is_hot_slow_and_full(tmp_path: Path) -> None:
    """A tree made up after what a Raspberry Pi 5 shows; not captured on one."""
    host = tree(tmp_path, PI)
    board, processor, memory, governor, temperature = machine.machine(host)
    assert board.found == "Raspberry Pi 5 Model B Rev 1.0"
    assert str(processor.found).endswith("of 2 CPUs, asimd asimdhp asimddp")
    assert (memory.state, memory.found) == ("warning", "4.3 GB, 0.2 GB of it available")
    assert (governor.state, governor.found) == (
        "warning",
        "powersave (cpufreq-dt): always at the lowest clock",
    )
    assert (temperature.state, temperature.found) == ("warning", "84 °C (cpu-thermal)")
    kernel, system, _, systemd = machine.system(host)
    assert str(kernel.found).startswith("6.6.31+rpt-rpi-2712, ")
    assert system.found == "Debian GNU/Linux 12 (bookworm)"
    assert (systemd.state, systemd.found) == ("ok", "252, not running here")
    assert one(machine.clock(host), "time of day").state == "warning"
    tree(tmp_path, {"run/systemd/timesync/synchronized": ""})
    assert one(machine.clock(host), "time of day").state == "ok"


def test_what_is_not_there_is_absent_with_the_reason(tmp_path: Path) -> None:
    host = Host(tmp_path, {})
    board, _, memory, governor, temperature = machine.machine(host)
    clock, system = machine.clock(host), machine.system(host)
    others = [one(clock, "time of day"), one(system, "system"), one(system, "systemd")]
    for check in (board, memory, governor, temperature, *others):
        assert check.state == "absent"
        assert len(str(check.found).split()) > 2, check


def test_the_governor_of_a_processor_that_is_offline_cannot_be_read(tmp_path: Path) -> None:
    host = tree(tmp_path, {"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n"})
    (tmp_path / "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor").mkdir(parents=True)  # its read fails
    governor = one(machine.machine(host), "governor")
    assert (governor.state, governor.found) == ("ok", "schedutil (driver unknown)")


def test_a_sensor_that_refuses_gives_no_reading(tmp_path: Path) -> None:
    host = tree(tmp_path, {"sys/class/thermal/thermal_zone0/temp": "-274000\n"})
    (tmp_path / "sys/class/thermal/thermal_zone1/temp").mkdir(parents=True)
    assert one(machine.machine(host), "temperature").state == "absent"


def test_an_old_systemd_and_a_pc_that_sets_its_own_pace(tmp_path: Path) -> None:
    host = tree(
        tmp_path,
        {
            "usr/lib/systemd/libsystemd-shared-247.so": "",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver": "intel_pstate",
            "sys/class/dmi/id/sys_vendor": "LENOVO",
            "sys/class/dmi/id/product_name": "21HM",
        },
    )
    assert one(machine.system(host), "systemd").state == "warning"
    assert one(machine.machine(host), "governor").state == "ok"
    assert one(machine.machine(host), "board").found == "LENOVO 21HM"


def test_an_old_glibc_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, state in (("glibc 2.31", "warning"), ("glibc 2.35", "ok"), (None, "warning")):
        monkeypatch.setattr(os, "confstr", lambda _, version=version: version)
        assert machine._glibc().state == state
