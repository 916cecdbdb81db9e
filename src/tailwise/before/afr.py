"""The name of before; the code is in `tailwise.methods.afr`."""

from tailwise.methods.afr import *  # noqa: F403
