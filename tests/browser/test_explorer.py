"""The explorer of chapter 5 by keyboard, in a real browser without a network."""

import itertools
import math
import re

import pytest
import torch
from built import HTML
from looks import MODES, violations

from tailwise.geometry.explorer import ROWS, source
from tailwise.geometry.explorer import page as explorer_page
from tailwise.geometry.seli import (
    Blocks,
    norms_and_cosines,
    predicted_grams,
    step_blocks,
    temperatures,
)

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
SHOW = """(root) => {
  const text = (name) => root.querySelector(`.${name}`)?.textContent;
  const cells = [...root.querySelectorAll("td")];
  return {
    table: Object.fromEntries(cells.map((td) => [td.dataset.is, td.textContent])),
    setting: text("setting"),
    note: text("note"),
    summary: text("summary"),
    marks: text("marks"),
    drawn: root.querySelector("svg").getBoundingClientRect().height > 100,
    gammaIsUsed: !root.querySelector(".gamma").disabled,
    arrows: [...root.querySelectorAll("g")].map((g) => ({
      kind: g.getAttribute("class"),
      paths: [...g.querySelectorAll("path")].map((path) => path.getAttribute("d")),
    })),
  };
}"""
SETTINGS = list(
    itertools.product(
        [(2, 2), (5, 5), (8, 2), (2, 8), (30, 70)],
        [1, 1.1, 10, 1000],
        [-1.5, -0.35, 0, 0.25, 0.5, 1.5],
        ["ldt", "cdt"],
    )
)


@pytest.fixture(scope="module")
def url(tmp_path_factory) -> str:
    """The built page or, before there is one, the explorer alone."""
    if BUILT.exists() and "geometry-explorer" in BUILT.read_text("utf-8"):
        return BUILT.as_uri()
    path = tmp_path_factory.mktemp("alone") / "explorer.html"
    path.write_text(ALONE.format(explorer_page()), "utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def states(visiting, url) -> list[dict]:
    """What the page shows at first and after each step."""
    with visiting(url, offline=True, **MODES["light"]) as page:
        root = page.locator(".geometry-explorer").first
        found = [root.evaluate(SHOW)]
        for control, key, times in (keys for keys, _ in STEPS if keys):
            root.locator(f".{control}").focus()
            for _ in range(times):
                page.keyboard.press(key)
            page.wait_for_timeout(400)  # the summary waits for a slider to rest
            found.append(root.evaluate(SHOW))
    return found


def numbers(b: Blocks) -> dict[str, float]:
    rows = ROWS.items()
    return {row: getattr(b, attribute).item() for row, (_, attribute) in rows}


def steps(states: list[dict]):
    """Each state with the geometry that Python computes for it."""
    for state, (_, (k_major, k_minor, ratio, gamma, kind)) in zip(states, STEPS):
        assert f"R = {ratio}," in state["setting"]
        W, H = step_blocks(k_major, k_minor, ratio, gamma, kind)
        yield state, {"W": numbers(W), "H": numbers(H)}


def test_table_follows_the_keys(states):
    assert len(states) == len(STEPS)
    for state, expected in steps(states):
        for name, rows in expected.items():
            for row, value in rows.items():
                found = float(state["table"][f"{name}.{row}"].replace("−", "-"))
                # Shown with three digits or three decimals.
                assert found == pytest.approx(value, rel=5e-3, abs=5e-4), (name, row)


def arrow(paths: list[str]) -> complex:
    """From the start of the shaft to the point of the head."""
    start, tip = (re.match(r"M(\S+) ([^L]+)L", path).groups() for path in paths)
    return complex(*map(float, tip)) - complex(*map(float, start))


def test_drawing_follows_the_keys(states):
    for state, expected in steps(states):
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


def test_words_follow_the_keys(states):
    assert [s["gammaIsUsed"] for s in states] == [False] * 4 + [True] * 9
    ce, wce, la = states[1:4]
    assert ce["note"] == wce["note"] == la["note"]
    assert ce["table"] == wce["table"] == la["table"]
    assert "same limit" in ce["note"]
    assert "CE at the ratio R^(1 − 2γ) = 10;" in states[4]["note"]
    assert states[8]["note"] == states[9]["note"]
    assert "Two minority classifiers are 96° apart" in states[5]["summary"]
    assert "with balanced classes 109°" in states[-1]["summary"]


def test_marks_are_shown_where_the_paper_has_some(states):
    assert "3.58 free model, 2.5 MLP, 2.64 ResNet" in states[0]["marks"]
    # Another ratio, or another loss.
    assert all("Figure 3 has R = 10" in state["marks"] for state in states[1:])


def test_counts_of_the_reader(visiting, url):
    with visiting(url, offline=True) as page:
        root = page.locator(".geometry-explorer").first
        shown = root.locator(".own-is")
        assert shown.text_content() == ""
        root.locator(".own").fill("900, 300; 40")
        counts = torch.tensor([900.0, 300, 40])
        W, _ = predicted_grams(counts, torch.ones(3), "ldt")
        length, cos = norms_and_cosines(W)
        words = shown.text_content().replace("−", "-")
        found = [float(x) for x in re.findall(r"-?\d+\.?\d*", words)]
        relative = (length / length.max()).tolist()
        assert found[:3] == pytest.approx(relative, rel=5e-3)
        i, j = (int(x) - 1 for x in found[3:5])
        off = cos - 2 * torch.eye(3)
        assert found[5] == pytest.approx(cos[i, j].item(), abs=5e-4)
        assert cos[i, j] == off.max()
        assert found[6] == -0.5
        root.locator(".own").fill("900, none")
        assert "Give two to forty counts" in shown.text_content()


@pytest.mark.parametrize("mode", MODES)
def test_no_fault(browser, url, mode):
    faults = []
    context = browser.new_context(offline=True, **MODES[mode])
    page = context.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    local = ("file:", "data:", "blob:")
    page.on("request", lambda r: r.url.startswith(local) or faults.append(r.url))
    page.goto(url, wait_until="load")
    faults += violations(page, ".geometry-explorer")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= page.viewport_size["width"]
    assert faults == []
    context.close()


def test_table_stays_without_scripts(visiting, url):
    with visiting(url, java_script_enabled=False) as page:
        root = page.locator(".geometry-explorer").first
        assert root.locator("table").is_visible()
        assert not root.locator("select").first.is_visible()
        assert root.locator("td").all_text_contents()[:3] == ["2.67", "0.351", "1"]


def test_javascript_equals_python(visiting):
    call = (
        "given => given.map(([k, R, gamma, kind]) => stepBlocks(...k, R, gamma, kind))"
    )
    with visiting("about:blank") as page:
        page.add_script_tag(content=source("js"))
        found = page.evaluate(call, SETTINGS)
    for (k, ratio, gamma, kind), blocks in zip(SETTINGS, found, strict=True):
        for name, b in zip("WH", step_blocks(*k, ratio, gamma, kind)):
            # Differences of numbers up to a thousand times larger lose three digits.
            assert blocks[name] == pytest.approx(numbers(b), rel=1e-11, abs=1e-12)


def test_classifiers_of_any_counts_equal_python(visiting):
    cases = [
        ([100, 50, 20, 5], 0.25, "ldt"),
        ([900, 300, 40], 0.5, "cdt"),
        ([7, 7, 7, 1, 1], -1.2, "cdt"),
        ([500] * 10, 0, "ldt"),
        (list(range(1, 41)), 0.5, "ldt"),
        ([1e6, 3, 1], 1.5, "cdt"),
    ]
    with visiting("about:blank") as page:
        page.add_script_tag(content=source("js"))
        call = "given => given.map((one) => classifiers(...one))"
        found = page.evaluate(call, cases)
    for (counts, gamma, kind), gram in zip(cases, found, strict=True):
        W, _ = predicted_grams(counts, temperatures(counts, gamma), kind)
        # The root of an eigenvalue that is zero but for rounding, 1e-16.
        assert (torch.tensor(gram).double() - W).norm() < 1e-7 * W.norm()
