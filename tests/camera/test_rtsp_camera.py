"""The driver `rtsp` against a real server on loopback that stalls, dies and returns, and refuses."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from edgegan.camera.rtsp import RtspCamera
from edgegan.errors import CameraError, CameraTimeout, ConfigError, EdgeganError
from edgegan.framing import split_framing
from edgegan.registry import CAMERAS, Uri, open_driver, options_of
from edgegan.telemetry.trace import read_events, summarise
from tests.camera.rtsp_lent import Server, free_port, stamp_in

Starter = Callable[..., Server]


@pytest.fixture
def started() -> Iterator[Starter]:
    """Starts servers, which end with the test."""
    servers = []

    def start(*options: str) -> Server:
        servers.append(Server(*options))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience for a test."""
    monkeypatch.setattr("edgegan.camera.rtsp._STALL_S", 1.0)
    monkeypatch.setattr("edgegan.camera.rtsp._OPEN_S", 2.0)
    monkeypatch.setattr("edgegan.camera.rtsp._PAUSES_S", (0.2, 0.4))


def error_of(url: str) -> EdgeganError:
    with pytest.raises((CameraError, ConfigError)) as caught:
        RtspCamera(url)
    return caught.value


def read_within(camera: RtspCamera, timeout_s: float) -> int:
    """The sequence of the next picture, with time-outs in between."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with suppress(CameraTimeout):
            return camera.read(0.2).sequence
    raise AssertionError(f"no picture within {timeout_s} s")


def read_until_silent(camera: RtspCamera, sequence: int) -> int:
    """The last sequence before a time-out; `sequence` is the last that was read so far."""
    while True:
        try:
            sequence = camera.read(0.3).sequence
        except CameraTimeout:
            return sequence


# Pictures


@pytest.mark.parametrize(
    ("form", "transport"), [("h264", "tcp"), ("h264", "udp"), ("mjpeg", "tcp"), ("mjpeg", "udp")]
)
def test_pictures_come_in_order_and_soon(started: Starter, form: str, transport: str) -> None:
    server = started("--form", form)
    camera = open_driver("camera", CAMERAS, Uri.parse(f"rtsp://{server.url(f'?transport={transport}')}"))
    with closing(camera):
        assert camera.live
        assert camera.rate_hertz in (25.0, None) or form == "mjpeg"
        assert f"over {transport.upper()}, {form} 256 x 256" in camera.description
        first, _ = stamp_in(camera.read(2.0).pixels)
        ages_ms = []
        for _ in range(40):
            frame = camera.read(2.0)
            number, drawn = stamp_in(frame.pixels)
            assert number == first + frame.sequence
            assert frame.captured_ns <= time.monotonic_ns()
            ages_ms.append((frame.captured_ns // 100_000 % 2**32 - drawn) / 10)
        assert 0 <= sorted(ages_ms)[20] < 200
        assert frame.pixels.shape == (256, 256, 3)
        assert not frame.pixels.flags.writeable


def test_the_first_picture_is_number_0_and_a_late_reader_gets_the_newest(started: Starter) -> None:
    with closing(RtspCamera(started().url())) as camera:
        time.sleep(0.5)
        assert camera.read(1.0).sequence == 0
        time.sleep(0.8)
        before_ns = time.monotonic_ns()
        frame = camera.read(1.0)
        assert frame.sequence >= 15
        assert before_ns - frame.captured_ns < 150_000_000
        assert camera.read(1.0).captured_ns > frame.captured_ns


# The server's own troubles


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_server_that_stalls_dies_and_returns(
    started: Starter, transport: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edgegan.camera.rtsp")
    server = started()
    with closing(RtspCamera(server.url(), transport=transport)) as camera:
        sequence = camera.read(2.0).sequence
        server.stall()
        before = read_until_silent(camera, sequence)
        time.sleep(2.5)
        server.go_on()
        sequence = read_within(camera, 10)
        assert before < sequence <= before + 400
        server.kill()
        before = read_until_silent(camera, sequence)
        time.sleep(1.5)
        with pytest.raises(CameraTimeout):
            camera.read(0.1)
        server.start()
        assert before < read_within(camera, 10) <= before + 100
        camera.read(1.0)
    told = [record.message for record in caplog.records]
    assert len([words for words in told if "stopped" in words]) == 2
    assert len([words for words in told if "is back after" in words]) == 2
    assert len(told) == 4


@pytest.mark.usefixtures("quick")
def test_a_short_stall_does_not_cut_the_stream(started: Starter, caplog: pytest.LogCaptureFixture) -> None:
    server = started()
    with closing(RtspCamera(server.url())) as camera:
        sequence = camera.read(2.0).sequence
        server.stall()
        before = read_until_silent(camera, sequence)
        server.go_on()
        assert read_within(camera, 2) > before
        for _ in range(30):
            camera.read(1.0)
    assert "stopped" not in caplog.text


def test_closing_does_not_wait_for_a_stalled_server(started: Starter) -> None:
    server = started()
    camera = RtspCamera(server.url())
    sequence = camera.read(2.0).sequence
    server.stall()
    read_until_silent(camera, sequence)
    begun = time.monotonic()
    camera.close()
    camera.close()
    assert time.monotonic() - begun < 1.0


def test_closing_ends_the_thread(started: Starter) -> None:
    before = set(threading.enumerate())
    camera = RtspCamera(started().url())
    camera.read(2.0)
    assert set(threading.enumerate()) - before
    camera.close()
    time.sleep(0.1)
    assert not set(threading.enumerate()) - before


def test_a_stream_that_is_decoded_too_slowly_is_cut_once(
    started: Starter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("edgegan.camera.rtsp._BEHIND_NS", 300_000_000)
    monkeypatch.setattr("edgegan.camera.rtsp._BEHIND_FOR_NS", 500_000_000)
    decode = RtspCamera._decode

    def slow_decode(camera: RtspCamera, packet: object, arrived_ns: int) -> None:
        time.sleep(0.08)
        decode(camera, packet, arrived_ns)

    monkeypatch.setattr(RtspCamera, "_decode", slow_decode)
    with closing(RtspCamera(started().url())) as camera:
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            read_within(camera, 5)
    assert caplog.text.count("pictures came ever later; ask the camera for a smaller stream") == 1


@pytest.mark.usefixtures("quick")
def test_what_breaks_the_thread_is_an_error(started: Starter, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    with closing(RtspCamera(started().url())) as camera:
        monkeypatch.setattr(camera, "_decode", broken)
        time.sleep(0.3)
        camera._picture = None  # one may have been left before
        with pytest.raises(CameraError, match="a bug"):
            camera.read(1.0)


# Refusals


def test_digest_authentication(started: Starter) -> None:
    server = started("--user", "visitor", "--password", "p@ss/w:rd")
    with closing(RtspCamera(server.url(login="visitor:p%40ss%2Fw%3Ard@"))) as camera:
        camera.read(2.0)
        assert camera.description.startswith(f"rtsp://visitor:***@127.0.0.1:{server.port}/live")
    for login in ("", "visitor:secret@", "nobody:secret@"):
        error = error_of(server.url(login=login))
        assert isinstance(error, ConfigError)
        assert "wants another user or password: write it as" in str(error) or "write rtsp://user" in str(
            error
        )
        assert "secret" not in str(error)


def test_a_wrong_path_is_a_mistake(started: Starter) -> None:
    server = started()
    error = error_of(server.url().replace("live", "dead"))
    assert isinstance(error, ConfigError)
    assert "404 Not Found: look up the stream's path" in str(error)


def test_a_camera_that_is_not_there_is_a_failure() -> None:
    error = error_of(f"me:secret@127.0.0.1:{free_port()}/live")
    assert isinstance(error, CameraError)
    assert "nothing answers at rtsp://me:***@127.0.0.1" in str(error)
    assert "secret" not in str(error)
    assert "the host is not known" in str(error_of("no-such-host.invalid/live"))


@pytest.mark.parametrize(
    "url",
    ["", "/live", "me:secret@/live", "127.0.0.1:x/live", "127.0.0.1:99999/live", "a b/live", "host/\ud800"],
)
def test_what_is_no_address_is_a_mistake(url: str) -> None:
    error = error_of(url)
    assert isinstance(error, ConfigError)
    assert "is no address of a stream" in str(error)
    assert "secret" not in str(error)


@pytest.fixture
def mute() -> Iterator[tuple[int, list[bytes]]]:
    """A server that listens, hears and never answers: its port, and what it heard."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                heard.append(client.recv(4096))
                clients.append(client)

    clients: list[socket.socket] = []
    threading.Thread(target=listen, daemon=True).start()
    yield listener.getsockname()[1], heard
    listener.close()
    for client in clients:
        client.close()


@pytest.mark.usefixtures("quick")
def test_a_server_that_never_answers_is_given_up(mute: tuple[int, list[bytes]]) -> None:
    begun = time.monotonic()
    assert "no picture came from rtsp://127.0.0.1" in str(error_of(f"127.0.0.1:{mute[0]}/live"))
    assert time.monotonic() - begun < 4


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/cam?channel=1&subtype=0", "/cam?channel=1&subtype=0"),
        ("/cam?channel=1&transport=tcp&subtype=0&rotate=90", "/cam?channel=1&subtype=0"),
        ("/cam?transport=tcp", "/cam"),
        ("/cam?video&audio&a=1&a=2&b=%20", "/cam?video&audio&a=1&a=2&b=%20"),
        ("/cam?%74ransport=x&size=big&pace=max", "/cam?%74ransport=x&size=big&pace=max"),
        ("/my%20cam/user=me_channel=1.sdp", "/my%20cam/user=me_channel=1.sdp"),
    ],
)
def test_what_is_not_ours_goes_to_the_server_as_it_was_written(
    mute: tuple[int, list[bytes]], written: str, sent: str
) -> None:
    port, heard = mute
    uri, framing = split_framing(Uri.parse(f"rtsp://127.0.0.1:{port}{written}"))
    assert framing == ({"rotate": 90} if "rotate" in written else {})
    with pytest.raises(CameraError):
        open_driver("camera", CAMERAS, uri)
    assert heard[0].split(b"\r\n")[0].decode() == f"OPTIONS rtsp://127.0.0.1:{port}{sent} RTSP/1.0"


def test_our_options_are_those_of_the_driver_and_of_the_framing() -> None:
    known = set(options_of("camera", CAMERAS, Uri.parse("rtsp://x/y")))
    framing = {"crop": "contain", "rotate": "90", "mirror": "1"}
    query = "&".join(f"{name}={value}" for name, value in framing.items())
    uri, taken = split_framing(Uri.parse(f"rtsp://x/y?{query}&transport=udp&theirs=1"))
    assert uri == Uri("rtsp", "x/y?theirs=1", {"transport": "udp"})
    assert set(taken) == set(framing)
    assert known == {"transport"}
    with pytest.raises(ConfigError, match="cannot be 'tpc': did you mean 'tcp'"):
        options_of("camera", CAMERAS, Uri.parse("rtsp://x/y?transport=tpc"))


# With the daemon


def run_edgegan(camera: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edgegan", "run", "--json", "--camera", camera]
    command += ["--generator", "passthrough://?size=256x256", "--display", "null://", *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def frames_in(folder: Path) -> int:
    return len(os.listdir(folder)) if folder.is_dir() else 0


def wait_for_more(folder: Path, than: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while frames_in(folder) <= than:
        assert time.monotonic() < deadline, "no more pictures were shown"
        time.sleep(0.1)


def test_a_run_keeps_its_picture_and_goes_on_when_the_server_does(started: Starter, tmp_path: Path) -> None:
    server, trace, shown = started("--rate", "10"), tmp_path / "t", tmp_path / "shown"
    settings = ("--trace", str(trace), "--display", f"file://{shown}/")
    process = run_edgegan(f"rtsp://{server.url()}", *settings)
    try:
        wait_for_more(shown, 10, 30)
        server.stall()
        time.sleep(7)  # longer than the driver's patience
        stalled = frames_in(shown)
        server.go_on()
        wait_for_more(shown, stalled + 10, 15)
        server.kill()
        time.sleep(3)
        killed = frames_in(shown)
        assert process.poll() is None
        server.start()
        wait_for_more(shown, killed + 10, 15)
    finally:
        process.send_signal(signal.SIGINT)
        output, log = process.communicate(timeout=10)
    assert process.returncode == 0, log
    assert json.loads(output)["frames"] == summarise(trace)["frames"] >= killed + 10
    kinds = [event["kind"] for event in read_events(trace)]
    assert "worker_died" not in kinds
    assert [kind for kind in kinds if kind.startswith("camera_")] == [
        "camera_opened",
        *["camera_silent", "camera_back"] * 2,
    ]
    assert log.count("connecting again until it is back") == 2


def test_a_stalled_server_does_not_delay_the_end_of_a_run(started: Starter, tmp_path: Path) -> None:
    server, shown = started(), tmp_path / "shown"
    process = run_edgegan(f"rtsp://{server.url()}", "--display", f"file://{shown}/")
    wait_for_more(shown, 3, 30)
    server.stall()
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    asked = time.monotonic()
    process.communicate(timeout=10)
    assert time.monotonic() - asked < 3  # a stalled read would take 5 s
    assert process.returncode == 0


def test_no_password_is_in_log_error_and_trace(started: Starter, tmp_path: Path) -> None:
    server = started("--user", "visitor", "--password", "hush-hush")
    query = "?token=hush-token&channel=1"
    for login, code in (("visitor:hush-hush@", 0), ("visitor:hush-wrong@", 2), ("visitor:hush-hush@", 2)):
        path = "/live" if code == 0 else ("/dead" if "wrong" not in login else "/live")
        url = server.url(login=login).replace("/live", path) + (query if code else "")
        trace = tmp_path / f"{login.partition(':')[2]}{code}{path[1:]}"
        process = run_edgegan(f"rtsp://{url}", "-v", "--frames", "5", "--trace", str(trace))
        output, log = process.communicate(timeout=60)
        assert process.returncode == code, log
        written = trace.read_bytes() if trace.exists() else b""
        assert "hush" not in output + log.replace(str(trace), "")
        assert b"hush" not in written.replace(str(trace).encode(), b"")
        if code == 0:
            assert b"rtsp://visitor:***@127.0.0.1" in written


def test_no_password_is_in_the_errors_of_a_configuration(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    for camera in (
        "rtsp://u:hush@h/x?transport=tpc",
        "rtsp:/u:hush@h/x",
        "[rtsp://u:hush@h/x, 1]",
        f"rtsp://u:hush@h/{'x' * 9000}",
    ):
        file.write_text(f"camera: {json.dumps(camera) if camera[0] != '[' else camera}\n")
        command = [sys.executable, "-m", "edgegan", "run" if len(camera) > 999 else "config", str(file)]
        done = subprocess.run([*command, "--display", "null://"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "edgegan: error:" in done.stderr
        assert "hush" not in done.stdout + done.stderr
