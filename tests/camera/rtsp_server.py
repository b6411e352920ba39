"""A real RTSP server (GStreamer's) for the tests, run by the system's Python: it says "ready" once it listens.

Its picture is grey, SIDE x SIDE; in its upper half 64 bars are the bits, most significant first, of the frame's number
(32) and of the instant at which it was drawn, CLOCK_MONOTONIC in units of 0.1 ms (32).
"""

import argparse
import sys
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

SIDE, BAR = 256, 4
FORMS = {
    "h264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=2000 key-int-max=15 ! rtph264pay",
    "mjpeg": "jpegenc ! rtpjpegpay",
}


class Source:
    """Feeds one client's pipeline with pictures that are drawn when they are due."""

    def __init__(self, media, rate):
        self.source = media.get_element().get_by_name_recurse_up("source")
        self.rate, self.number, self.started_ns = rate, 0, time.monotonic_ns()
        GLib.timeout_add(max(1, 500 // rate), self.push)

    def push(self):
        """Draw and hand over every picture that is due by now."""
        while self.started_ns + self.number * 1_000_000_000 // self.rate <= time.monotonic_ns():
            value = self.number % 2**32 << 32 | time.monotonic_ns() // 100_000 % 2**32
            line = b"".join((b"\xd0" if value >> 63 - bar & 1 else b"\x30") * BAR for bar in range(64))
            buffer = Gst.Buffer.new_wrapped(line * (SIDE // 2) + b"\x80" * (SIDE * SIDE // 2))
            buffer.pts = buffer.dts = self.number * Gst.SECOND // self.rate
            buffer.duration = Gst.SECOND // self.rate
            self.number += 1
            if self.source.emit("push-buffer", buffer) != Gst.FlowReturn.OK:
                return False
        return True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", required=True)
    parser.add_argument("--form", choices=FORMS, default="h264")
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--user")
    parser.add_argument("--password")
    arguments = parser.parse_args()
    Gst.init(None)
    server = GstRtspServer.RTSPServer(service=arguments.port, address="127.0.0.1")
    factory = GstRtspServer.RTSPMediaFactory()
    caps = f"video/x-raw,format=GRAY8,width={SIDE},height={SIDE},framerate={arguments.rate}/1"
    source = f'appsrc name=source is-live=true format=time block=false caps="{caps}"'
    factory.set_launch(
        f"( {source} ! videoconvert ! video/x-raw,format=I420 ! {FORMS[arguments.form]} name=pay0 )"
    )
    factory.connect("media-configure", lambda _, media: Source(media, arguments.rate))
    if arguments.user:
        protect(server, factory, arguments.user, arguments.password)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit(f"port {arguments.port} is taken")
    print("ready", flush=True)
    GLib.MainLoop().run()


def protect(server, factory, user, password):
    """Digest authentication."""
    auth = GstRtspServer.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "visitor")
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_permission_for_role("visitor", "media.factory.access", True)
    permissions.add_permission_for_role("visitor", "media.factory.construct", True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    main()
