"""Bets are made of claims and records, on their page and in chapters."""

import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from tailwise.ledger import claims
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
