"""What each claim compares: methods and numbers that exist, claims that are made."""

import re

import numpy as np
import pytest
from tiny_result import made

from tailwise.ledger import claims
from tailwise.metrics import estimate
from tailwise.softad import contests, levels, study
from tools.book.layout import ROOT

GROUPS = {
    name: group for name, group in vars(contests).items() if isinstance(group, dict)
}
GROUPS = {name: group for name, group in GROUPS.items() if not name.startswith("_")}


@pytest.mark.parametrize("name", GROUPS)
def test_contests_are_of_claims_and_can_be_held(name):
    known = claims.load("ch3").claims
    result = levels.tuned(made())
    for claim, (label, number, *less) in GROUPS[name].items():
        assert claim in ("", *known), claim  # "" stands in the table alone
        e = study.difference(result, label, number, *less)
        assert np.isfinite(e.mean), claim
        assert label != (less or ["ERM"])[0]


def test_a_claim_of_a_logarithm_says_so():
    known = claims.load("ch3").claims
    for group in GROUPS.values():
        for claim, (_, number, *_) in group.items():
            if not claim:
                continue
            of_log = known[claim].metric.startswith("log ")
            assert of_log == (number in contests.LOGS), claim


def test_each_contest_stands_once_and_in_the_tags_of_a_cell():
    ids = [claim for group in GROUPS.values() for claim in group if claim]
    assert len(set(ids)) == len(ids)
    page = (ROOT / "book" / "chapters" / "3_soft_ascent_descent.py").read_text("utf-8")
    tagged = re.findall(r'"claim:(ch3\.\w+)"', page)
    assert sorted(tagged) == sorted(
        id
        for id, claim in claims.load("ch3").claims.items()
        if claim.profile == "laptop"
    )
    assert set(ids) <= set(tagged)


def test_narrow_less_wide_is_a_difference_of_differences():
    labels = study.named("ERM", "SharpDRO", "SharpDRO, half")
    narrow, wide = made(1, labels), made(2, labels)
    found = contests.narrow_less_wide(narrow, wide)

    def number(result, label, name):
        return study.values(result, label, name)

    for claim, name in (
        ("ch3.gap_simple", "difficulty_gap"),
        ("ch3.gap_simple_train", "difficulty_gap_train"),
    ):
        expected = estimate(number(narrow, "ERM", name) - number(wide, "ERM", name))
        assert found[claim][""].mean == pytest.approx(expected.mean)
        assert found[claim][""].stderr == pytest.approx(expected.stderr)
    for claim, rival in (
        ("ch3.harm_simple", "SharpDRO"),
        ("ch3.harm_simple_half", "SharpDRO, half"),
    ):
        for part in ("average", "worst severity"):
            name = f"accuracy_{part.replace(' ', '_')}"
            harm = [
                number(r, "ERM", name) - number(r, rival, name) for r in (narrow, wide)
            ]
            expected = estimate(harm[0] - harm[1])
            assert found[claim][part].mean == pytest.approx(expected.mean)
            assert found[claim][part].stderr == pytest.approx(expected.stderr)
        assert set(found[claim]) == set(claims.load("ch3").claims[claim].parts)
