"""The explorer of chapter 5 by keyboard, in a real browser without a network."""

import math
import re

import driver
import pytest
from driver import HTML

from tailwise.geometry.explorer import ROWS
from tailwise.geometry.theory import Blocks, step_blocks

BUILT = HTML / "book" / "chapters" / "5_ce_geometry.html"
ALONE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>alone</title>
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><main>{}</main>
"""
# Keys, and the setting that they lead to: k_major, k_minor, R, gamma and the kind.
STEPS = [
    (None, (5, 5, 10, 0, "ldt")),
    (("ratio", "ArrowRight", 20), (5, 5, 100, 0, "ldt")),
    (("loss", "ArrowDown", 1), (5, 5, 100, 0, "ldt")),  # weighted CE
    (("loss", "ArrowDown", 1), (5, 5, 100, 0, "ldt")),  # LA
    (("loss", "ArrowDown", 1), (5, 5, 100, 0.25, "ldt")),
    (("gamma", "ArrowRight", 5), (5, 5, 100, 0.5, "ldt")),
    (("loss", "ArrowDown", 1), (5, 5, 100, 0.5, "cdt")),
    (("ratio", "ArrowLeft", 7), (5, 5, 45, 0.5, "cdt")),
    (("gamma", "ArrowLeft", 18), (5, 5, 45, -0.4, "cdt")),
    (("loss", "ArrowDown", 1), (5, 5, 45, -0.4, "cdt")),  # VS
    (("classes", "ArrowDown", 1), (8, 2, 45, -0.4, "cdt")),
    (("classes", "Home", 1), (2, 2, 45, -0.4, "cdt")),
    (("ratio", "End", 1), (2, 2, 1000, -0.4, "cdt")),
]


@pytest.fixture(scope="module")
def visit(tmp_path_factory) -> dict:
    """What `mjs` saw in the built page or, before there is one, alone."""
    page = BUILT
    if not (BUILT.exists() and "geometry-explorer" in BUILT.read_text("utf-8")):
        page = tmp_path_factory.mktemp("alone") / "html"
        page.write_text(ALONE.format(page()), "utf-8")
    return driver.run("mjs", page, given=[keys for keys, _ in STEPS if keys])


def numbers(b: Blocks) -> dict[str, float]:
    rows = ROWS.items()
    return {row: getattr(b, attribute).item() for row, (_, attribute) in rows}


def steps(states: list[dict]):
    """Each state with the geometry that Python computes for it."""
    for state, (_, (k_major, k_minor, ratio, gamma, kind)) in zip(states, STEPS):
        assert f"R = {ratio}," in state["setting"]
        W, H = step_blocks(k_major, k_minor, ratio, gamma, kind)
        yield state, {"W": numbers(W), "H": numbers(H)}


def test_table_follows_the_keys(visit):
    assert len(visit["states"]) == len(STEPS)
    for state, expected in steps(visit["states"]):
        for name, rows in expected.items():
            for row, value in rows.items():
                found = float(state["table"][f"{name}.{row}"].replace("−", "-"))
                # Shown with three digits or three decimals.
                assert found == pytest.approx(value, rel=5e-3, abs=5e-4), (name, row)


def arrow(paths: list[str]) -> complex:
    """From the start of the shaft to the point of the head."""
    start, tip = (re.match(r"M(\S+) ([^L]+)L", path).groups() for path in paths)
    return complex(*map(float, tip)) - complex(*map(float, start))


def test_drawing_follows_the_keys(visit):
    for state, expected in steps(visit["states"]):
        assert state["drawn"]
        kinds = [a["kind"] for a in state["arrows"]]
        assert kinds == ["major", "major", "major", "minor", "minor", "minor"] * 2
        arrows = [arrow(a["paths"]) for a in state["arrows"]]
        for b, row in zip(expected.values(), (arrows[:6], arrows[6:])):
            pairs = zip(("major", "between", "minor"), row[::2], row[1::2])
            for pair, left, right in pairs:
                cos = (left.conjugate() * right).real / (abs(left) * abs(right))
                assert cos == pytest.approx(b[pair], abs=1e-9)
            assert abs(row[0]) == pytest.approx(abs(row[1])) == abs(row[2])
            ratio = abs(row[2]) / abs(row[3])
            assert ratio == pytest.approx(math.sqrt(b["ratio"]), rel=1e-9)
            longest = max(map(abs, row))
            assert longest == pytest.approx(52)


def test_words_follow_the_keys(visit):
    states = visit["states"]
    assert [s["gammaIsUsed"] for s in states] == [False] * 4 + [True] * 9
    ce, wce, la = states[1:4]
    assert ce["note"] == wce["note"] == la["note"]
    assert ce["table"] == wce["table"] == la["table"]
    assert "same limit" in ce["note"]
    assert "CE at the ratio R^(1 − 2γ) = 10;" in states[4]["note"]
    assert states[8]["note"] == states[9]["note"]
    assert "Two minority classifiers are 96° apart" in states[5]["summary"]
    assert "with balanced classes 109°" in states[-1]["summary"]


def test_no_fault_in_any_mode(visit):
    assert not visit["faults"]


def test_table_stays_without_scripts(visit):
    still = visit["still"]
    assert still["visible"]
    assert not still["controls"]
    assert still["table"][:3] == ["2.67", "0.351", "1"]
