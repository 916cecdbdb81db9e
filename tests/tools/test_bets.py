"""Bets are made of claims and records, on their page and in chapters."""

from dataclasses import replace

import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from tailwise.ledger import claims
from tailwise.ledger.claims import Claim, Measurement
from tools.site import bets, dress
from tools.site.cards import Card


def test_a_bet_shows_the_verdict_only_in_its_fold():
    chapter = claims.load("ch1")
    kept = claims.recorded("ch1", "laptop")
    for claim in chapter.carrying:
        shown, fold = bets.item(claim.id).split("<details>")
        assert f"data-held='{int(kept.verdicts[claim.id] == 'reproduced')}'" in shown
        assert not any(f">{verdict}<" in shown for verdict in claims.VERDICTS)
        assert f">{kept.verdicts[claim.id]}<" in fold
        assert f"href='scoreboard.html#{claim.id}'" in fold


def test_a_mark_in_a_chapter_becomes_a_bet():
    text = "Before.\n\n<!-- predict: ch1.beats_priors -->\n\nAfter."
    made = new_notebook(cells=[new_markdown_cell(text)])
    card = Card("1", "T", "Q?", "chapters/1_x", "F.", (), None, False)
    dress.add_bets(made, card)
    (cell,) = made.cells
    assert cell.source.startswith("Before.\n\n<div class='predict'")
    assert "href='../scoreboard.html#ch1.beats_priors'" in cell.source


def test_a_bet_on_nothing_is_refused():
    with pytest.raises(ValueError, match="'ch1.nothing', which is not claimed"):
        bets.fill_bets("<!-- predict: ch1.nothing -->")


CLAIM = Claim(
    id="ch1.x",
    says="gain",
    where="ours",
    origin="ours",
    metric="gain",
    kind="at least",
    bound=0.01,
    seeds=5,
)
GOOD = Measurement(0.05, 0.001, 9)


def fresh(*values: float) -> Claim:
    """The claim with runs that found other values."""
    return replace(CLAIM, again={"": tuple(replace(GOOD, value=v) for v in values)})


@pytest.mark.parametrize(
    ("claim", "measured", "why"),
    [
        (CLAIM, GOOD, ""),
        (CLAIM, replace(GOOD, n=4), "4 of at least 5 repetitions"),
        (CLAIM, replace(GOOD, value=0.012), "the limit lies in the interval"),
        (CLAIM, replace(GOOD, value=0.0126), "say the same in 63% of cases"),
        (fresh(0.05, 0.05), GOOD, ""),
        (fresh(0.05, 0.01), GOOD, "1 of 2 runs with fresh seeds say the same"),
    ],
)
def test_an_open_part_says_which_condition_failed(claim, measured, why):
    said = bets.why_open(claim, measured)
    assert bool(said) == (claims.mark(claim, measured) == "open") == bool(why)
    assert why in said
    assert not why or "would" in said


def test_a_card_states_all_of_the_rule():
    said = bets.rule(fresh(0.05, 0.05), (GOOD,))
    for part in (
        "gain is ≥ 0.01 over at least 5 repetitions",
        "95 % interval",
        "9 times in ten",
        "all 2 runs with fresh seeds",
    ):
        assert part in said
    exact = replace(CLAIM, exact=True, parts=("a", "b"))
    assert bets.rule(exact) == "Reproduced if gain is ≥ 0.01. All of this for a, b."


def test_the_table_for_hands_has_a_row_for_each_bet():
    rows = bets.tally().splitlines()[2:]
    assert len(rows) == bets.page().count("<div class='predict'")
    assert all(row.count("|") == len(bets.TALLY) + 2 for row in rows)
