"""Mistakes of evaluation, made on purpose: what each does to claims of the book.

python -m tools.studies.study_mistakes [--only PACKAGE ...]

Writes book/results/mistakes/PACKAGE.json at the laptop profile, for each package that
book/claims/mistakes.yml names. The networks come from the cache where they are in it;
otherwise about six minutes of CPU time.
"""

import argparse
from importlib import import_module

import torch

from tailwise import profiles
from tailwise.files import write_whole
from tailwise.ledger import mistakes, provenance
from tools.book.layout import ROOT

FOLDER = ROOT / "book" / "results" / mistakes.FOLDER


def measure(package: str, profile: profiles.Profile) -> dict[str, mistakes.Pairs]:
    """Every mistake of a package, on the same runs."""
    module = import_module(f"tailwise.{package}.mistakes")
    runs = module.prepare(profile)
    names = [m.id for m in mistakes.load() if m.package == package]
    return {name: getattr(module, name)(runs) for name in names}


def main() -> None:
    packages = {mistake.package: None for mistake in mistakes.load()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[*packages], choices=[*packages])
    torch.set_num_threads(1)
    profile = profiles.current("laptop")
    for package in parser.parse_args().only:
        stopwatch = provenance.Stopwatch()
        found = measure(package, profile)
        about = provenance.describe(profile, stopwatch)
        write_whole(FOLDER / f"{package}.json", mistakes.dumps(found, about))
        print(package, f"{about['cpu_s']:.0f} s CPU", flush=True)


if __name__ == "__main__":
    main()
