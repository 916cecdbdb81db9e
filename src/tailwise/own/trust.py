"""How often a pilot is wrong, and how often it finds what is there, as recorded."""

import json

from tailwise.ledger.claims import book_dir


def trust() -> tuple[str, ...]:
    """What ``tools/studies/study_noise.py`` counted, in sentences."""
    path = book_dir() / "results" / "own" / "noise.json"
    found = json.loads(path.read_text("utf-8"))
    noise = found["noise"]
    powers = [
        f"{100 * part['share']:.0f} % ({part['use']} of {part['sets']}) at "
        f"{100 * float(effect):g} points"
        for effect, part in found["effects"].items()
    ]
    return (
        f"On {noise['sets']} made-up files of pure noise, with units, identifiers, "
        f"copies or shuffled indices, the answer was “use” {noise['use']} times, "
        f"“undecided” {noise['undecided']} and “keep” {noise['keep']} times; the "
        f"rate of “use” is at most {100 * noise['high']:.1f} % (Wilson, 95 %).",
        f"With {found['samples']} samples, {100 * found['share']:g} % of them rare, "
        f"and {found['splits']} splits an effect was used in {', '.join(powers)} of "
        "mean accuracy over a coin.",
    )
