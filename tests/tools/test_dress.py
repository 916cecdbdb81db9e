"""What is computed for the site: cards, front page, anchors, badges, previews."""

from dataclasses import replace

import nbformat
import pytest
import yaml
from jinja2 import ChoiceLoader, DictLoader, Environment, FileSystemLoader
from sphinx.util.osutil import relative_uri

from tailwise import profiles
from tailwise.ledger import claims
from tools.book.layout import ROOT, fill
from tools.paper.sets import SETS
from tools.site import anchors, cards, dress
from tools.site.cards import Card

CLAIMS = """\
title: Nine
question: >
  Is it
  so?
page: chapters/9_nine
paper: {arxiv: "1234.56789"}
claims:
  - {id: ch9.one, where: Table 1, says: One., metric: m, kind: at least, bound: 0.5,
     evidence: text, exact: true}
  - {id: ch9.two, where: Table 2, says: Two., metric: m, kind: at most, bound: 0.5,
     evidence: text, exact: true}
  - {id: ch9.big, where: Table 3, says: B., metric: m, kind: at most, bound: 1,
     evidence: text, exact: true, profile: full}
  - {id: ch9.own, where: here, says: O., metric: m, kind: at most, bound: 1,
     origin: ours, exact: true}
"""
PAGE = """\
# %% [markdown]
# # 9 · Is it so?
#
# **The answer, first.**
# It depends.
# **Half of it is**, with $n$ samples.
#
# **Later** is too late.

# %%
ledger.record("ch9.one", 1.0)

# %% [markdown]
# ## On Monday
#
# Call it.
"""


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book with one recorded chapter, and one that has claims but no page."""
    book = tmp_path / "book"
    for folder in ("claims", "chapters"):
        (book / folder).mkdir(parents=True)
    (book / "claims" / "ch8.yml").write_text(CLAIMS.replace("9", "8"))
    (book / "claims" / "ch9.yml").write_text(CLAIMS)
    (book / "chapters" / "9_nine.py").write_text(PAGE)
    monkeypatch.setattr(claims, "book_dir", lambda: book)
    monkeypatch.setenv("TAILWISE_RESULTS", str(book / "results"))
    ledger = claims.Ledger("ch9", profiles.current("laptop"))
    for name in ("one", "two", "own"):
        ledger.record(f"ch9.{name}", 1.0)
    ledger.save()
    return book


# Cards


def test_a_card_tells_of_the_paper_only(book):
    (card,) = cards.cards(book)
    assert card == Card(
        number="9",
        title="Nine",
        question="Is it so?",
        page="chapters/9_nine",
        finding="Half of it is",
        verdicts=("reproduced", "not reproduced", "not testable here"),
        minutes=1,
        monday=True,
        arxiv="1234.56789",
    )
    assert card.badge == "1/3 · 1 min"


def test_a_chapter_without_a_record_promises_nothing(book):
    (book / "results" / "laptop" / "ch9.json").unlink()
    (card,) = cards.cards(book)
    assert card.verdicts == ("not recorded yet",) * 3
    assert card.time == card.tally == "not recorded yet"
    assert card.badge == ""


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("First.\nThen **this one**.\n\n**Not this.**", "this one"),
        ("First.\nThen more.\n\n**Not this.**", "First."),
        ("**Two\nlines.**", "Two\nlines."),
    ],
)
def test_the_finding_is_bold_or_first(answer, found):
    assert cards.finding(f"# T\n\n{cards.ANSWER}\n{answer}") == found


@pytest.mark.parametrize("text", ["", "# T\n\nWords.", f"{cards.ANSWER}\n"])
def test_a_chapter_without_an_answer_is_refused(text):
    with pytest.raises(ValueError, match="The answer, first"):
        cards.finding(text)


# The front page


def test_the_front_page_is_filled(book):
    by_name = dress.parts(cards.cards(book))
    marks = ("point", "trust", "cards", "headline", "marks")
    filled = fill(" ".join(f"<!-- computed: {mark} -->" for mark in marks), by_name)
    assert "<!--" not in filled
    assert "3 claims of 1 papers · all chapters run in 1 min on a laptop" in filled
    assert "[Is it so?](chapters/9_nine.ipynb)" in filled
    assert "[On Monday](chapters/9_nine.ipynb#on-monday)" in filled
    assert "<span class='verdict verdict-not-reproduced'>1 not reproduced</span>" in (
        filled
    )
    assert "aria-label='1 of 3 reproduced, 1 not reproduced" in filled
    assert filled.count("<span class='verdict verdict-reproduced'></span>") == 1


@pytest.mark.parametrize("page", ["", "<!-- computed: card -->"])
def test_a_page_with_other_marks_is_refused(page):
    with pytest.raises(ValueError, match="the page marks"):
        fill(page, {"cards": ""})


def test_chapters_are_linked_where_they_exist(book):
    text = dress.link_chapters("Chapter 9, Chapter 8.", cards.cards(book))
    assert text == "[Chapter 9](chapters/9_nine.ipynb), Chapter 8."


def test_links_to_notebooks_become_links_to_pages():
    source = "<a href='chapters/9_nine.ipynb#ch9.one'> <a href='x.ipynb'> y.ipynb'"
    expected = "<a href='chapters/9_nine.html#ch9.one'> <a href='x.html'> y.ipynb'"
    assert dress.to_pages(source) == expected


# Anchors


def notebook(*sources: str):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    title = nbformat.v4.new_markdown_cell("# 9 · ch9.one\n\nText.")
    return nbformat.v4.new_notebook(cells=[title, *cells])


def tagged(*sources: str, **tags: list[str]):
    """A notebook whose cells have tags, by their numbers."""
    made = notebook(*sources)
    for number, names in tags.items():
        made.cells[int(number[1:])].metadata["tags"] = names
    return made


@pytest.mark.parametrize(
    ("first", "second", "faults"),
    [
        (["claim:ch9.none"], ["claim:ch9.one"], r"\['ch9.none'\]"),
        (["claim:ch9.one"], ["claim:ch9.one"], r"\['ch9.one', 'ch9.one'\]"),
    ],
)
def test_a_tag_names_one_claim_once(book, first, second, faults):
    made = tagged("first", "second", _1=first, _2=second)
    with pytest.raises(ValueError, match=f"chapters/9_nine: .*{faults}"):
        anchors.add_anchors(made, claims.load("ch9"))


def test_every_claim_gets_one_anchor_before_its_cell(book):
    both = 'ledger.record("ch9.one", 1)\nledger.record("ch9.two", 1)'
    made = tagged(
        both,
        "scoreboard.outcome(ledger)",
        "last",
        _1=["hide-input", "claim:ch9.one", "claim:ch9.two"],
        _2=["outcome"],
    )
    anchors.add_anchors(made, claims.load("ch9"))
    sources = [cell.source for cell in made.cells]
    assert sources[1] == (
        "<div class='claim-anchor'><span id='ch9.one'></span>"
        "<span id='ch9.two'></span></div>"
    )
    assert sources[2] == both
    # Those without a cell lead to the outcome.
    assert "<span id='ch9.big'></span><span id='ch9.own'></span>" in sources[3]
    assert sources[4:] == ["scoreboard.outcome(ledger)", "last"]
    nbformat.validate(made)


def test_a_chapter_opens_with_its_line(book):
    made = notebook()
    (card,) = cards.cards(book)
    dress.add_line(made, card)
    title, _, line, *rest = made.cells[0].source.split("\n")
    assert title == "# 9 · ch9.one"
    assert "<a href='../scoreboard.html#ch9'>1 of 3 reproduced" in line
    assert line.endswith("about 1 min to read · runs 1 min on a laptop</p>")
    assert rest[-3:] == ["</div>", "", "Text."]
    below = "\n".join(rest)
    assert "[On Monday](#on-monday)" in below
    assert "[exercises](../exercises/9_nine.ipynb)" in below
    assert "[solutions](../solutions/9_nine.ipynb)" in below
    assert "<a href='../../_static/slides.html#ch9'>slides</a>" in below


def test_a_preview_is_escaped_and_plain(book):
    made = notebook()
    (card,) = cards.cards(book)
    dress.add_preview(made, replace(card, finding='*A* "b" $c$ < `d`'))
    assert made.metadata["og:description"] == "A &quot;b&quot; c &lt; d"
    assert made.metadata["myst"]["html_meta"]["description"] == 'A "b" c < d'


# The site


CONFIG = """\
title: Tailwise
sphinx:
  config:
    html_baseurl: &address "https://x.org/b/"
    ogp_site_url: *address
    html_context: {default_mode: auto, badges: []}
"""


def test_the_site_is_told_of_badges_and_of_its_root(book):
    found = cards.cards(book)
    config = yaml.safe_load(dress.configured(CONFIG, found))["sphinx"]["config"]
    assert config["notfound_urls_prefix"] == "/b/"
    assert config["ogp_site_url"] == "https://x.org/b/"
    (badge,) = config["html_context"]["badges"]
    assert badge["page"] == "book/chapters/9_nine"
    assert badge["badge"] == "1/3 · 1 min"
    bare = [replace(found[0], minutes=None)]
    config = yaml.safe_load(dress.configured(CONFIG, bare))["sphinx"]["config"]
    assert config["html_context"] == {"default_mode": "auto", "badges": []}


def navigation(link: str, page: str) -> str:
    """What the site's template makes of the theme's navigation."""
    theme = (
        f'<nav><a class="reference internal" href="{link}">9 Nine</a>\n'
        '<a class="reference internal" href="how.html">How</a></nav>'
    )
    ours = FileSystemLoader(ROOT / "book" / "_templates")
    theirs = DictLoader({"components/sbt-sidebar-nav.html": theme})
    badge = {"page": "book/chapters/9_nine", "badge": "1/3 · 1 min", "time": "1 min"}
    return (
        Environment(loader=ChoiceLoader([ours, theirs]))
        .get_template("sbt-sidebar-nav.html")
        .render(
            pathto=lambda name: relative_uri(f"{page}.html", f"{name}.html") or "#",
            badges=[badge | {"tally": "1 of 3 reproduced"}],
        )
    )


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("book/index", "chapters/9_nine.html"),
        ("search", "book/chapters/9_nine.html"),
        ("book/solutions/1_x", "../chapters/9_nine.html"),
        ("book/chapters/9_nine", "#"),
    ],
)
def test_a_chapter_gets_its_badge_in_the_navigation(page, link):
    shown = navigation(link, page)
    assert shown.count("nav-badge") == 1
    assert '9 Nine<span class="nav-badge" title="the paper’s claims: 1 of 3' in shown
    assert "1/3 · 1 min</span></a>" in shown


def test_other_pages_get_no_badge():
    assert "nav-badge" not in navigation("#", "book/index")


def test_the_page_of_data_sets_names_every_licence():
    rows = dress.data_sets().splitlines()[2:]
    assert len(rows) == len(SETS)
    for row, found in zip(rows, SETS.values()):
        assert row.count("|") == 5
        assert row.startswith(f"| {found.title} |")
        assert found.licence.partition(": ")[2] in row
