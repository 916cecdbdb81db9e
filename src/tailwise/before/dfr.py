"""The name of before; the code is in `tailwise.methods.dfr`."""

from tailwise.methods.dfr import *  # noqa: F403
