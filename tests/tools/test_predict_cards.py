"""Bets are made of claims and records, on their page and in chapters."""

from dataclasses import replace

import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from tailwise.ledger import claims
from tailwise.ledger.claims import Claim, Measurement
from tools.site import dress, predict_cards
from tools.site.cards import Card


def test_a_bet_shows_the_verdict_only_in_its_fold():
    chapter = claims.load("ch1")
    kept = claims.recorded("ch1", "laptop")
    for claim in chapter.carrying:
        shown, fold = predict_cards.item(claim.id).split("<details>")
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
        predict_cards.fill_bets("<!-- predict: ch1.nothing -->")


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


def test_a_card_states_all_of_the_rule():
    said = predict_cards.rule(fresh(0.05, 0.05), (GOOD,))
    for part in (
        "gain is ≥ 0.01 over at least 5 repetitions",
        "95 % interval",
        "9 times in ten",
        "all 2 runs with fresh seeds",
    ):
        assert part in said
    exact = replace(CLAIM, exact=True, parts=("a", "b"))
    assert (
        predict_cards.rule(exact)
        == "Reproduced if gain is ≥ 0.01. All of this for a, b."
    )


def test_the_table_for_hands_has_a_row_for_each_bet():
    rows = predict_cards.tally().splitlines()[2:]
    assert len(rows) == predict_cards.page().count("<div class='predict'")
    assert all(row.count("|") == len(predict_cards.TALLY) + 2 for row in rows)
