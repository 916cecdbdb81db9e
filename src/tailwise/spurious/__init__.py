"""Chapter 2: a rare group, a spurious cue, and what refitting the head repairs."""

from tailwise.spurious.networks import Recipe, embed, fit

__all__ = ["Recipe", "embed", "fit"]
