"""A window on a desktop (X11 or Wayland), through SDL2: `window://?fullscreen=1`. Needs a screen, no GPU.

f switches to the full screen and back; Esc, q or the window's cross end the run. The picture goes to the
renderer as it is, 24 bits a pixel, and is scaled there.
"""

import ctypes
import logging
import os
import threading
import time
import warnings
from typing import Any

from edgegan.display import screen_present
from edgegan.display.scaling import Fit
from edgegan.errors import DisplayError, MissingDependency
from edgegan.extras import install_command
from edgegan.frame import Pixels
from edgegan.framing import fitted
from edgegan.registry import Size

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pysdl2-dll announces itself
        import sdl2
except ImportError as error:
    if error.name:
        raise
    raise MissingDependency(f"the library SDL2 is missing ({error})", install_command("window")) from error

__all__ = ["WindowDisplay", "check_desktop"]

log = logging.getLogger(__name__)

_HINTS = {
    sdl2.SDL_HINT_NO_SIGNAL_HANDLERS: b"1",  # SIGINT and SIGTERM are the daemon's
    sdl2.SDL_HINT_RENDER_SCALE_QUALITY: b"linear",
    sdl2.SDL_HINT_VIDEO_MINIMIZE_ON_FOCUS_LOSS: b"0",
}
_HIDDEN = sdl2.SDL_WINDOW_MINIMIZED | sdl2.SDL_WINDOW_HIDDEN
_REDRAW = (sdl2.SDL_WINDOWEVENT_EXPOSED, sdl2.SDL_WINDOWEVENT_SIZE_CHANGED)
_LEAVE = (sdl2.SDLK_ESCAPE, sdl2.SDLK_q)
_STALL_NS = 80_000_000
"""No screen is this slow: the compositor has stopped asking for pictures, for nobody sees the window."""
_EMULATED_GL = (b"llvmpipe", b"softpipe", b"swrast", b"SwiftShader")
_GL_RENDERER = 0x1F01


class WindowDisplay:
    """Shows pictures in a window that a person can resize, make full screen and close.

    size: (height, width) to begin with; default: the first picture's proportions, as large as fits into three
    quarters of the screen.
    """

    poll_interval_s: float | None = 0.02

    def __init__(
        self,
        path: str = "",
        *,
        size: Size | None = None,
        fullscreen: bool = False,
        fit: Fit = "contain",
        title: str = "edgegan",
    ) -> None:
        if not screen_present():
            raise DisplayError(
                "there is no screen to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set)",
                "start it on a desktop, or use another display: file://out.mp4",
            )
        _check_screen()
        self._closed = False
        _connect()
        self._texture: Any = None
        self._renderer: Any = None
        self._window: Any = None
        self._fit, self._picture_size = fit, (0, 0)
        try:
            self._windowed_size = size or (_screen_area().h * 3 // 4,) * 2
            self._size_is_given = size is not None or fullscreen
            self._window = _new_window(self._windowed_size, title)
            _outlive_the_server(self._window)
            self._renderer, self._vsync = _new_renderer(self._window)
        except DisplayError:
            self.close()
            raise
        if fullscreen:
            self._toggle_fullscreen()
        sdl2.SDL_ShowCursor(sdl2.SDL_DISABLE)
        sdl2.SDL_StopTextInput()
        self.description = f"window, {sdl2.SDL_GetCurrentVideoDriver().decode()}, {_name(self._renderer)}"

    def show(self, pixels: Pixels, captured_ns: int) -> int:
        """Upload and present one picture; the instant after that."""
        height, width = pixels.shape[:2]
        if (height, width) != self._picture_size:
            self._drop_texture()
            kind, access = sdl2.SDL_PIXELFORMAT_BGR24, sdl2.SDL_TEXTUREACCESS_STREAMING
            self._texture = sdl2.SDL_CreateTexture(self._renderer, kind, access, width, height)
            _check(self._texture, f"hold a picture of {width} x {height}")
            self._picture_size = (height, width)
            self._adopt_proportions()
        sdl2.SDL_UpdateTexture(self._texture, None, pixels.ctypes.data, pixels.strides[0])
        self._present()
        _check_screen()
        return time.monotonic_ns()

    def poll(self) -> bool:
        """Handle what the person did; False once they want to leave."""
        event = sdl2.SDL_Event()
        while not self._closed and sdl2.SDL_PollEvent(ctypes.byref(event)):
            pressed = (
                event.key.keysym.sym if event.type == sdl2.SDL_KEYDOWN and not event.key.repeat else None
            )
            if event.type == sdl2.SDL_QUIT or pressed in _LEAVE:
                return False
            if pressed == sdl2.SDLK_f:
                self._toggle_fullscreen()
            elif event.type == sdl2.SDL_WINDOWEVENT and event.window.event in _REDRAW:
                self._present()
        _check_screen()
        return True

    def close(self) -> None:
        """Close the window."""
        if self._closed:
            return
        self._closed = True
        if _screen_lost.is_set():  # SDL would wait for the answer of a server that is gone
            return
        self._drop_texture()
        if self._renderer is not None:
            sdl2.SDL_DestroyRenderer(self._renderer)
        if self._window is not None:
            sdl2.SDL_DestroyWindow(self._window)
        sdl2.SDL_QuitSubSystem(sdl2.SDL_INIT_VIDEO)

    def _present(self) -> None:
        """Present the last picture: it is new, or the window was uncovered or resized."""
        if self._texture is None or sdl2.SDL_GetWindowFlags(self._window) & _HIDDEN:
            return
        started_ns = time.monotonic_ns()
        sdl2.SDL_RenderClear(self._renderer)
        sdl2.SDL_RenderCopy(self._renderer, self._texture, None, ctypes.byref(self._target()))
        sdl2.SDL_RenderPresent(self._renderer)
        if self._vsync and time.monotonic_ns() - started_ns > _STALL_NS:
            log.info("nobody sees the window: showing pictures without waiting for the screen")
            self._vsync = sdl2.SDL_RenderSetVSync(self._renderer, 0) != 0

    def _target(self) -> Any:
        """Where the picture goes, in the renderer's pixels (on some desktops finer than the window's)."""
        width, height = ctypes.c_int(), ctypes.c_int()
        sdl2.SDL_GetRendererOutputSize(self._renderer, ctypes.byref(width), ctypes.byref(height))
        scales = (height.value / self._picture_size[0], width.value / self._picture_size[1])
        scale = min(scales) if self._fit == "contain" else max(scales)
        shown = (round(self._picture_size[1] * scale), round(self._picture_size[0] * scale))
        return sdl2.SDL_Rect((width.value - shown[0]) // 2, (height.value - shown[1]) // 2, *shown)

    def _adopt_proportions(self) -> None:
        """Give the window the shape of the first picture, unless somebody said how large it is to be."""
        if self._size_is_given:
            return
        self._size_is_given = True
        area = _screen_area(max(0, sdl2.SDL_GetWindowDisplayIndex(self._window)))
        self._windowed_size = fitted(self._picture_size, (area.h * 3 // 4, area.w * 3 // 4))
        sdl2.SDL_SetWindowSize(self._window, *self._windowed_size[::-1])
        sdl2.SDL_SetWindowPosition(self._window, *[sdl2.SDL_WINDOWPOS_CENTERED] * 2)

    def _drop_texture(self) -> None:
        if self._texture is not None:
            sdl2.SDL_DestroyTexture(self._texture)
        self._texture, self._picture_size = None, (0, 0)

    def _toggle_fullscreen(self) -> None:
        """To the full screen and back. Without a window manager nobody else sets the window's size."""
        whole = sdl2.SDL_WINDOW_FULLSCREEN_DESKTOP
        if sdl2.SDL_GetWindowFlags(self._window) & whole == whole:
            sdl2.SDL_SetWindowFullscreen(self._window, 0)
            sdl2.SDL_SetWindowSize(self._window, *self._windowed_size[::-1])
            sdl2.SDL_SetWindowPosition(self._window, *[sdl2.SDL_WINDOWPOS_CENTERED] * 2)
        else:
            area = _screen_area(max(0, sdl2.SDL_GetWindowDisplayIndex(self._window)))
            sdl2.SDL_SetWindowSize(self._window, area.w, area.h)
            sdl2.SDL_SetWindowPosition(self._window, area.x, area.y)
            sdl2.SDL_SetWindowFullscreen(self._window, whole)
        self._present()


_screen_lost = threading.Event()
"""Set for good: SDL cannot let go of a connection that broke, nor open another."""


_say_nothing = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(lambda _display: 0)
_note_loss = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(
    lambda _display, _data: _screen_lost.set()
)


def _outlive_the_server(window: Any) -> None:
    """Keep Xlib from ending the process when the X server is gone, which takes both handlers (libX11 1.7)."""
    info = sdl2.SDL_SysWMinfo()
    sdl2.SDL_VERSION(info.version)
    if not sdl2.SDL_GetWindowWMInfo(window, info) or info.subsystem != sdl2.SDL_SYSWM_X11:
        return
    x11 = ctypes.CDLL("libX11.so.6")
    if hasattr(x11, "XSetIOErrorExitHandler"):
        x11.XSetIOErrorHandler(_say_nothing)
        x11.XSetIOErrorExitHandler(ctypes.c_void_p(info.info.x11.display), _note_loss, None)


def _check_screen() -> None:
    if _screen_lost.is_set():
        raise DisplayError(
            "the screen is gone: the X server ended or closed the connection",
            "start edgegan anew once the desktop is back",
        )


def _check(success: object, doing: str) -> None:
    if not success:
        raise DisplayError(
            f"SDL cannot {doing}: {sdl2.SDL_GetError().decode()}",
            "check DISPLAY and WAYLAND_DISPLAY, or use another display: null://, file://out.mp4",
        )


def check_desktop() -> None:
    """Raise `DisplayError` where no desktop answers; opens no window."""
    _check_screen()
    _connect()
    sdl2.SDL_QuitSubSystem(sdl2.SDL_INIT_VIDEO)


def _connect() -> None:
    """Start SDL on the desktop. Where it finds none it would draw into memory: only if it was told to."""
    for hint, value in _HINTS.items():
        sdl2.SDL_SetHint(hint, value)
    _check(sdl2.SDL_InitSubSystem(sdl2.SDL_INIT_VIDEO) == 0, "reach the screen")
    driver = sdl2.SDL_GetCurrentVideoDriver()
    if driver in (b"offscreen", b"dummy") and "SDL_VIDEODRIVER" not in os.environ:
        sdl2.SDL_QuitSubSystem(sdl2.SDL_INIT_VIDEO)
        named = [
            f"{name}={os.environ[name]}" for name in ("DISPLAY", "WAYLAND_DISPLAY") if name in os.environ
        ]
        raise DisplayError(
            f"there is no screen at {' or '.join(named)}",
            "start it on the desktop, as its user, or use another display: null://, file://out.mp4",
        )


def _screen_area(display: int = 0) -> Any:
    area = sdl2.SDL_Rect()
    _check(sdl2.SDL_GetDisplayBounds(display, ctypes.byref(area)) == 0, "measure the screen")
    return area


def _new_window(size: tuple[int, int], title: str) -> Any:
    centred = sdl2.SDL_WINDOWPOS_CENTERED
    flags = sdl2.SDL_WINDOW_RESIZABLE | sdl2.SDL_WINDOW_ALLOW_HIGHDPI
    window = sdl2.SDL_CreateWindow(title.encode(), centred, centred, size[1], size[0], flags)
    _check(window, "open a window")
    return window


def _new_renderer(window: Any) -> tuple[Any, bool]:
    """A renderer, and whether it waits for the screen: the GPU's, or SDL's own where GL is only emulated."""
    gpu = sdl2.SDL_CreateRenderer(window, -1, sdl2.SDL_RENDERER_ACCELERATED | sdl2.SDL_RENDERER_PRESENTVSYNC)
    if gpu and not _is_emulated():
        return gpu, True
    if gpu:
        sdl2.SDL_DestroyRenderer(gpu)
    software = sdl2.SDL_CreateRenderer(window, -1, sdl2.SDL_RENDERER_SOFTWARE)
    _check(software, "draw into a window")
    return software, False


def _is_emulated() -> bool:
    """Whether the GL that the new renderer has made current runs on the CPU."""
    address = sdl2.SDL_GL_GetProcAddress(b"glGetString")
    if not address:
        return False
    name = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_uint)(address)(_GL_RENDERER)
    return any(word in (name or b"") for word in _EMULATED_GL)


def _name(renderer: Any) -> str:
    info = sdl2.SDL_RendererInfo()
    sdl2.SDL_GetRendererInfo(renderer, ctypes.byref(info))
    return str(info.name.decode())
