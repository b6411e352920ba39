"""Engines: what one device makes of a bundle. Runs on the device.

`candidates` says what could run a bundle here, `trial` runs one of them in a process of its own, `build` tries
them all and keeps those that passed as a ladder, the best first, `store` is where it lies and what may be used
of it here, `fingerprint` says on which device it may be used.
"""
