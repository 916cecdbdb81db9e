"""The name of before; the code is in `tailwise.methods.losses`."""

from tailwise.methods.losses import *  # noqa: F403
