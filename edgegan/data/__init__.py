"""Where setup.py installs the top-level folders engines/, deploy/ and systemd/; `edgegan.resources` finds them."""
