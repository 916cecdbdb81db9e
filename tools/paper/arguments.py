"""Arguments of the command that starts a run at paper size."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tailwise.models import imagenet


class Parser(argparse.ArgumentParser):
    """Of a chapter's run: whole numbers of its recipe, and what all runs have.

    Parameters
    ----------
    chapter : int
    about : str
    recipe : object
        Whose attributes are the defaults.
    least : dict of str to int
        Whole numbers of the recipe that can be chosen, and the smallest of each.
    seeds : sequence of int
    folder : Path, optional
        Of checkpoints.
    """

    def __init__(
        self,
        chapter: int,
        about: str,
        recipe: object,
        least: Mapping[str, int],
        *,
        seeds: Iterable[int],
        folder: Path,
    ) -> None:
        super().__init__(f"tools.paper {chapter}", description=about)
        self.recipe, self.least = recipe, least
        self.add_argument("--yes", action="store_true", help="accept licences, start")
        given = dict(type=int, help="default: %(default)s")
        self.add_argument("--seeds", nargs="+", default=list(seeds), **given)
        for name in least:
            option = f"--{name.replace('_', '-')}"
            self.add_argument(option, default=getattr(recipe, name), **given)
        self.add_argument("--folder", type=Path, default=folder, help="of checkpoints")

    def add_network(self) -> None:
        """Of those that begin with ImageNet's weights."""
        names, default = imagenet.NAMES, self.recipe.network
        self.add_argument("--network", choices=names, default=default)
        self.add_argument("--scratch", action="store_true", help="start at random")
        self.add_argument("--full", action="store_true", help="no half-width products")

    def parse(self, given: Sequence[str]) -> argparse.Namespace:
        """Arguments in range; else a message and the end of the program."""
        chosen = self.parse_args(given)
        for name, least in self.least.items():
            if (value := getattr(chosen, name)) < least:
                self.error(f"{name} is {value}: expected at least {least}")
        return chosen

    def recipe_of(self, chosen: argparse.Namespace, **more) -> object:
        """The recipe with what was chosen."""
        if hasattr(chosen, "scratch"):
            more |= dict(network=chosen.network, half=not chosen.full)
            more["weights"] = None if chosen.scratch else imagenet.WEIGHTS
        numbers = {name: getattr(chosen, name) for name in self.least}
        return type(self.recipe)(**numbers, **more)
