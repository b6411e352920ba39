"""The camera driver `v4l2`: webcams, capture sticks, whatever Linux gives a /dev/videoN.

OpenCV's own V4L2 gives neither the driver's picture numbers and time stamps nor a choice of buffers, so this talks to
the kernel itself.

kernel: the structures and requests. nodes: which /dev/videoN is a camera. modes: what it is asked for.
controls: exposure, white balance, anti-flicker. driver: the camera.
"""
