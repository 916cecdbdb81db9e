"""The whole book as one PDF: its pages in order, links inside it, printed whole."""

import pytest

pdf = pytest.importorskip("tools.ship.pdf")
NAV = "<nav><ol><li><a href='one.xhtml'>One</a></li><li><a href='b_two.xhtml'>Two</a>"
HELD = {
    "OEBPS/nav.xhtml": f"<html><body>{NAV}</li></ol></nav></body></html>",
    "OEBPS/one.xhtml": "<body><h1 id='top'>One</h1><a href='b_two.xhtml#top'>there</a>"
    "<svg><path id='arrow'></path><path marker-end='url(#arrow)'></path></svg></body>",
    "OEBPS/b_two.xhtml": "<body><h1 id='top'>Two</h1><a href='one.xhtml'>back</a>"
    "<a href='https://here.invalid/a'>out</a></body>",
}
HELD = {name: text.encode() for name, text in HELD.items()}


def test_links_stay_inside_the_one_page():
    page = pdf.BeautifulSoup(pdf.sheets(HELD, "T"), "html.parser")
    assert [s["id"] for s in page.find_all("section")] == ["one", "b_two"]
    links = [link["href"] for link in page.find_all("a")]
    assert links == ["#one", "#b_two", "#b_two-top", "#one", "https://here.invalid/a"]
    ids = [tag["id"] for tag in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    assert page.find(id="arrow").name == "path"


def test_it_is_printed_with_a_sheet_for_each_page():
    try:
        pdf.browser()
    except ValueError as missing:
        pytest.skip(str(missing))
    made = pdf.printed(pdf.sheets(HELD, "T"), {})
    assert made.startswith(b"%PDF")
    assert made.rstrip().endswith(b"%%EOF")
    assert made.count(b"/Type /Page\n") == 3  # the contents and two pages


def test_without_a_browser_nothing_is_printed(monkeypatch):
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(ValueError, match="CHROMIUM is /nowhere/chromium"):
        pdf.printed("<p>One", {})
