"""The picture on the front page says what the record says."""

import re
from dataclasses import replace

import numpy as np
import pytest

from tailwise.matrix.run import recorded
from tailwise.metrics import estimate
from tools.site import point


@pytest.fixture(scope="module")
def record():
    return recorded()


def shown_worlds(record) -> list[str]:
    """Worlds of the record in the order of the picture, which has them all."""
    found = [world for world in point.WORLDS if world in record.values]
    assert set(found) == record.values.keys()
    return found


def gains(record, world: str, method: str) -> np.ndarray:
    """Seed by seed, from the record's numbers alone."""
    values = record.values[world]
    pairs = zip(values[method]["worst group"], values["CE"]["worst group"])
    return np.array([one - other for one, other in pairs])


def test_each_cell_is_a_paired_difference_of_the_record(record):
    html = point.draw(record, {})
    shown = iter(re.findall(r"<b>([−+\d.]+)</b> ± ([\d.]+)|(needs group labels)", html))
    for world in shown_worlds(record):
        for method in point.SHOWN:
            number, half, none = next(shown)
            if none:
                assert method not in record.values[world]
                continue
            e = estimate(gains(record, world, method))
            assert float(number.replace("−", "-")) == pytest.approx(
                100 * e.mean, abs=0.051
            )
            assert float(half) == pytest.approx(100 * e.half, abs=0.051)
    assert next(shown, None) is None


def test_the_finding_counts_the_decided_gains(record):
    helps = {
        method: [
            world
            for world in shown_worlds(record)
            if method in record.values[world]
            and (e := estimate(gains(record, world, method))).mean > e.half
        ]
        for method in point.SHOWN
    }
    said = point.finding(record)
    free = helps["shifted threshold"]
    of = len(record.values)
    assert f"helps the worst group in {len(free)} of {of} problems" in said
    assert ("nothing here helps in more" in said) == (
        max(map(len, helps.values())) == len(free)
    )
    lost = [
        np.mean(of_plain) - np.mean(of_free)
        for values in record.values.values()
        for of_plain, of_free in [
            [values[m]["training mix"] for m in ("CE", "shifted threshold")]
        ]
    ]
    assert f"price is up to {100 * max(lost):.0f} points" in said
    for world in shown_worlds(record):
        title = record.worlds[world]["title"]
        assert (title in said) == (not any(world in some for some in helps.values()))


def changed(record, method: str, gain: float):
    """The record with the same gain of a method in every world and seed."""
    values = {
        world: methods
        | {method: {"worst group": [x + gain for x in methods["CE"]["worst group"]]}}
        for world, methods in record.values.items()
    }
    return replace(record, values=values)


def test_another_record_makes_another_finding(record):
    said = point.finding(changed(record, "SoftAD", 0.1))
    assert "another method here helps in more" in said
    assert "none of them helps" not in said


def test_a_gain_beyond_the_axis_is_refused(record):
    with pytest.raises(ValueError, match=r"gains \['\+90.0'.*lie outside"):
        point.draw(changed(record, "SoftAD", 0.9), {})
