"""Printed, each handout takes one sheet."""

import re

from built import HTML, give_up
from looks import READY

from tailwise.ledger import claims

BUILT = HTML / "book" / "workshop" / "handouts.html"
PAGE = re.compile(rb"/Type\s*/Page[^s]")


def test_a_handout_takes_one_sheet(visiting):
    if not BUILT.exists():
        give_up(f"not here: {BUILT} (make html)")
    with visiting(BUILT.as_uri(), offline=True) as page:
        page.evaluate(READY)
        printed = page.pdf(format="A4", prefer_css_page_size=True)
        assert page.locator("img.handout-picture").count() == len(claims.chapters())
    assert len(PAGE.findall(printed)) == 1 + len(claims.chapters())  # and a cover
