"""The name of before; the code is in `tailwise.methods.risk`."""

from tailwise.methods.risk import *  # noqa: F403
