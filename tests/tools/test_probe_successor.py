"""The probe translates the settings, and counts what both builders made of a book."""

from collections import Counter

from tools.studies import probe_successor as probe

CONFIG = {"title": "T", "bibtex_bibfiles": ["a.bib"]}
TOC = {
    "root": "book/index",
    "parts": [
        {"chapters": [{"file": "book/run"}]},
        {
            "caption": "Part",
            "chapters": [
                {"file": "book/one", "title": "1", "sections": [{"file": "book/two"}]}
            ],
        },
    ],
}


def test_settings_are_translated(tmp_path):
    (tmp_path / "book").mkdir()
    for name in ("index", "two"):
        (tmp_path / "book" / f"{name}.md").touch()
    made = probe.successor_config(CONFIG, TOC, tmp_path)
    one = {
        "file": "book/one.ipynb",
        "title": "1",
        "children": [{"file": "book/two.md"}],
    }
    assert made["project"]["toc"] == [
        {"file": "book/index.md"},
        {"file": "book/run.ipynb"},
        {"title": "Part", "children": [one]},
    ]
    assert made["project"]["bibliography"] == ["a.bib"]


def test_both_sides_are_counted_alike():
    html = (
        '<h1>outside</h1><article><h2>A</h2><div class="math x"></div>'
        '<details></details><img src=\'a\' alt="a line"><img alt="">'
        "<span id='ch1.a'></span></article>"
    )
    page = {
        "mdast": {
            "children": [
                {"type": "heading"},
                {"type": "math"},
                {"type": "block", "visibility": "hide"},
                {"type": "image", "alt": "a line"},
                {"type": "image"},
                {"type": "span", "html_id": "ch1-a"},
                {"type": "span", "html_id": "changelog"},
            ]
        }
    }
    found = +probe.made_of([page])
    assert found == +probe.html_of([html])
    assert set(found.values()) == {1}


def test_what_is_lost_is_said():
    log = (
        '⚠️  book/a.md:3 No target "x" (at book/a.md)\n⛔️ book/b.md unknown: 12\nfine\n'
    )
    log += '⚠️  book/c.ipynb No target "y" (at book/c.ipynb)\n'
    said = probe.report({"html_js_files": ["a.js"]}, Counter(a=3), Counter(a=1), log)
    assert "- scripts of the pages: ['a.js']" in said
    assert "- a: 3 and 1  (2 lost)" in said
    assert "- 2 × No target ……" in said
    assert "- 1 × unknown: …" in said
