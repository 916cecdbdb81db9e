"""The pilot in the page computes what the package computes, and says what it cannot."""

import io
import re

import numpy as np
import pandas as pd
import pytest
import torch
from built import HTML, give_up
from looks import MODES, violations

from tailwise.methods.linear_head import threshold_shift, threshold_today
from tailwise.methods.weighted import effective_ratio
from tailwise.metrics import wilson
from tailwise.own import read_table
from tailwise.own.raw import Wanted
from tools.book.layout import ROOT
from tools.site.example import pilot_example

SCRIPT = (ROOT / "book" / "_static" / "pilot.js").read_text("utf-8")
BUILT = HTML / "book" / "pilot.html"
CALL = "texts => texts.map(([text, ridge]) => tailwisePilot.pilot(text, ridge))"
TRIED = "text => { try { tailwisePilot.pilot(text) } catch (e) { return e.message } }"
N_FILES = 50


def draw(seed: int) -> tuple[pd.DataFrame, float]:
    """A file with two classes, sometimes with groups, and a ridge."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(60, 300)), int(rng.integers(1, 60))
    y = (rng.random(n) < rng.uniform(0.05, 0.6)).astype(int)
    y[:4] = [0, 0, 1, 1]
    X = rng.normal(size=(n, d)) * rng.uniform(0.1, 20, d) + y[:, None]
    table = pd.DataFrame(X, columns=[f"x{j}" for j in range(d)])
    names = np.array([["no", "yes"], ["0", "1"], ["a, b", 'c "d"']][seed % 3])
    table.insert(0, "label", names[y])
    table["score"] = np.round(y + rng.normal(size=n), int(rng.integers(1, 9)))
    if seed % 4 > 1:
        table["score"] = (1 / (1 + np.exp(1 - 2 * table["score"]))).round(6)
    if seed % 2:
        table["group"] = rng.choice(["x", "y", "z"], n)
    return table, float(rng.choice([0.01, 0.1, 1.0]))


def expected(table: pd.DataFrame, ridge: float, high: int = 1) -> dict:
    """The same from the package; a high score means the class at place `high`."""
    classes, y = np.unique(table["label"].astype(str), return_inverse=True)
    y = y if high else 1 - y
    X = table[[name for name in table if name[0] == "x"]].to_numpy()
    X = (X - X.mean(0)) / X.std(0)
    rare = 1 if (y == 1).sum() * 2 <= len(y) else 0
    ratio = effective_ratio(
        torch.from_numpy(X)[None],
        torch.from_numpy(np.where(y == rare, 1, -1))[None],
        ridge,
        tolerance=1e-13,
        max_steps=1000,
    )
    group = table["group"] if "group" in table else [""] * len(y)
    cells = pd.Series([f"{k} {g}" for k, g in zip(table["label"], group)])
    turn = cells.groupby(cells).cumcount().to_numpy() % 2
    scores, first = table["score"].to_numpy(), turn == 0
    today = threshold_today(scores)
    cut = threshold_shift(scores[first], y[first], cells[first], today=today)
    right = {c: (scores > c) == (y == 1) for c in (today, cut)}
    rows = [
        (live.sum(), right[today][live].sum(), right[cut][live].sum())
        for cell in sorted(set(cells))
        if (live := (cells == cell).to_numpy() & ~first).any()
    ]
    counts = np.bincount(y)
    return {
        "priors": counts.max() / counts.min(),
        "ratio": ratio.item(),
        "today": today,
        "threshold": cut,
        "rows": rows,
        "all": (right[today][~first].sum(), right[cut][~first].sum()),
    }


@pytest.fixture(scope="module")
def called(visiting):
    """The script's functions without a page."""

    def call(expression: str, argument):
        with visiting("about:blank") as page:
            page.add_script_tag(content=SCRIPT)
            return page.evaluate(expression, argument)

    return call


def test_fifty_files_give_the_package_s_numbers(called):
    files = [draw(seed) for seed in range(N_FILES)]
    texts = [[table.to_csv(index=False), ridge] for table, ridge in files]
    undefined, cuts = 0, set()
    for (table, ridge), found in zip(files, called(CALL, texts), strict=True):
        known = expected(table, ridge)
        assert found["priors"] == pytest.approx(known["priors"], rel=1e-12)
        ratio = found["effective"]["ratio"]
        undefined += np.isnan(ratio)
        assert ratio == pytest.approx(known["ratio"], rel=1e-8, nan_ok=True)
        assert found["today"] == known["today"]
        cuts.add(found["today"])
        assert found["threshold"] == pytest.approx(known["threshold"], abs=1e-8)
        rows = [(r["n"], r["before"], r["after"]) for r in found["rows"]]
        assert rows == known["rows"]
        assert (found["all"]["before"], found["all"]["after"]) == known["all"]
    assert 0 < undefined < N_FILES / 2
    assert cuts == {0, 0.5}


def test_the_class_of_a_high_score_can_be_chosen(called):
    table, ridge = draw(3)
    first, second = sorted(set(table["label"].astype(str)))
    call = "([text, ridge, high]) => tailwisePilot.pilot(text, ridge, high)"
    for high, name in enumerate((first, second)):
        found = called(call, [table.to_csv(index=False), ridge, name])
        known = expected(table, ridge, high)
        assert found["classes"][1] == name
        assert found["threshold"] == pytest.approx(known["threshold"], abs=1e-8)
        assert (found["all"]["before"], found["all"]["after"]) == known["all"]


def test_a_half_without_rows_is_said_and_not_divided_by(called):
    pilot = "text => tailwisePilot.pilot(text)"
    one = "label,score\n0,0.2\n1,0.7\n"
    assert called(pilot, one)["tooFew"]
    assert "rows" not in called(pilot, one)
    two = called(pilot, one + one.partition("\n")[2])
    assert [row["n"] for row in two["rows"]] == [1, 1]
    alone = "label,score,group\n" + "0,1,a\n1,2,a\n" * 2 + "1,2,b\n"
    assert called(pilot, alone)["single"] == ["1 · b"]


def test_semicolons_are_read_and_decimal_commas_refused_as_in_the_package(
    called, tmp_path
):
    text = 'label;score;"x;1"\n0;-0.5;1.5\n1;2;3\n'
    path = tmp_path / "a.csv"
    path.write_text(text)
    found = called("text => tailwisePilot.read(text)", text)
    raw = read_table.read_text(path, Wanted())
    assert raw.columns == ("score", "x;1")
    assert [found["scores"], *found["features"]] == raw.X.T.tolist()
    bad = text.replace("1.5", "1,5")
    path.write_text(bad)
    said = called(TRIED, bad)
    assert said.startswith('line 2: "1,5" in column "x;1" has a decimal comma')
    with pytest.raises(
        ValueError, match="'1,5' in line 2 .*'x;1', has a decimal comma"
    ):
        read_table.read_text(path, Wanted())


def test_the_example_shows_a_gain(called):
    text = pilot_example()
    found = called("text => tailwisePilot.pilot(text)", text)
    assert found["today"] == 0.5
    assert len(found["rows"]) == 4
    worst = {
        key: min(row[key] / row["n"] for row in found["rows"])
        for key in ("before", "after")
    }
    assert worst["after"] > worst["before"] + 0.2


def test_the_interval_of_a_share_is_wilson_s(called):
    for right, n in ((0, 5), (3, 7), (40, 40)):
        found = called("([right, n]) => tailwisePilot.wilson(right, n)", [right, n])
        assert found == pytest.approx([float(x) for x in wilson(right, n)], abs=1e-8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2", 'no column "label" in: a, b'),
        ("label\nx\nx", "holds 1 classes"),
        ("label,score\nx,1\ny,high", 'line 3: "high" in column "score" is no number'),
        ("label,score\nx,1\ny", "line 3 has 1 columns"),
        ("label," + ",".join(f"x{j}" for j in range(300)), "holds 0 classes"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(called, text, message):
    assert message in called(TRIED, text)


@pytest.mark.parametrize("mode", MODES)
def test_a_file_is_read_in_the_page_and_nothing_leaves_it(visiting, mode):
    if not BUILT.exists():
        give_up(f"not here: {BUILT} (make html)")
    table, ridge = draw(1)
    known = expected(table, 0.1)
    with visiting(BUILT.as_uri(), offline=True, **MODES[mode]) as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        payload = table.to_csv(index=False).encode()
        file = {"name": "mine.csv", "mimeType": "text/csv", "buffer": payload}
        page.locator("input[type=file]").set_input_files(file)
        page.locator(".pilot table").wait_for()
        text = page.locator(".pilot").text_content()
        assert f"ratio is {known['ratio']:.2f}" in text
        assert page.locator(".pilot tbody tr").count() == len(known["rows"]) + 1
        assert violations(page, "article") == []
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= page.viewport_size["width"]
        chosen = page.locator(".pilot select")
        assert chosen.input_value() == sorted(set(table["label"].astype(str)))[1]
        chosen.select_option(index=0)
        flipped = expected(table, 0.1, 0)["threshold"]
        text = page.locator(".pilot").text_content()
        assert float(re.search(r"from [\d.]+ to ([-\d.e]+) takes", text)[1]) == (
            pytest.approx(flipped, rel=1e-3)
        )
        area = page.locator("textarea")
        area.fill(area.get_attribute("placeholder"))
        page.locator(".pilot button").press("Enter")
        text = page.locator(".pilot").text_content()
        assert "taken for probabilities" in text
        assert "NaN" not in text
        assert "Infinity" not in text
        page.locator("textarea").fill("nothing")
        page.locator(".pilot button").press("Enter")
        assert 'no column "label"' in page.locator(".pilot").text_content()
        assert [url for url in asked if not url.startswith("file:")] == []


def test_the_form_says_so_without_scripts(visiting):
    with visiting(BUILT.as_uri(), java_script_enabled=False) as page:
        assert page.locator(".pilot-off").is_visible()


def test_pandas_and_the_page_read_alike(called):
    text = 'label,score\n"a ""b""",1.5\n"c,d",-2\n'
    table = pd.read_csv(io.StringIO(text))
    found = called(
        "text => tailwisePilot.read(text)", "\ufeff" + text.replace("\n", "\r\n")
    )
    assert found["classes"] == sorted(table["label"])
    assert found["scores"] == table["score"].tolist()
