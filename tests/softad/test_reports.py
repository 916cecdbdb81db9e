"""What is shown of a recorded LeNet, against the rows by hand."""

import json

import numpy as np
import pytest
from tiny_result import made

from tailwise.ledger import claims
from tailwise.metrics import estimate
from tailwise.softad import contests, reports, study

METHODS = [method.label for method in study.LENET]


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A record of three seeds."""
    g = np.random.default_rng(0)
    made = [
        {"seed": seed, "method": method}
        | {number: float(g.uniform(0.1, 1)) for number in study.NAMES}
        for seed in range(3)
        for method in METHODS
    ]
    for row in made:
        if row["method"] == METHODS[-1]:
            del row["eigenvalue"]
    folder = tmp_path / "results" / "softad"
    folder.mkdir(parents=True)
    (folder / "lenet.json").write_text(json.dumps({"rows": made}))
    monkeypatch.setattr(reports, "book_dir", lambda: tmp_path)
    return made


def by_hand(rows, method, number):
    return np.array([row[number] for row in rows if row["method"] == method])


def test_contests_are_paired_over_seeds(rows):
    found = reports.lenet_contests(reports.recorded_lenet())
    fitted = estimate(by_hand(rows, "ERM", "loss_train"))
    assert found.pop("ch3.lenet_fits") == {"": fitted}
    assert found.keys() == contests.LENET.keys()
    for claim, (method, number) in contests.LENET.items():
        pair = [by_hand(rows, name, number) for name in (method, "ERM")]
        if claims.load("ch3").claims[claim].metric.startswith("log "):
            pair = np.log(pair)
        expected = estimate(pair[0] - pair[1])
        assert found[claim][""].mean == pytest.approx(expected.mean)
        assert found[claim][""].stderr == pytest.approx(expected.stderr)


def test_a_table_has_a_row_a_method_and_no_number_where_none_was_measured(rows):
    found = reports.lenet_table(reports.recorded_lenet(), ["loss_mean", "eigenvalue"])
    assert list(found.index) == METHODS
    for method in METHODS:
        e = estimate(by_hand(rows, method, "loss_mean"))
        shown = found.loc[method, study.NAMES["loss_mean"]]
        assert shown == f"{e.mean:.3f} ± {e.stderr:.3f}"
    assert found.loc[METHODS[-1], study.NAMES["eigenvalue"]] == ""


def test_the_committed_record_has_what_the_chapter_shows():
    rows = reports.recorded_lenet()
    assert set(rows.columns) == set(study.NAMES)
    assert list(rows.index.unique("method")) == METHODS
    assert len(rows) == len(METHODS) * len(rows.index.unique("seed"))


def test_laws_side_by_side_are_what_each_measures_alone():
    laws = {
        "rare law": ({"mlp": made(), "cnn": made(1)}, contests.COMPOSED),
        "clean images": ({"mlp": made(2)}, contests.CLEAN),
    }
    ledger, alone = claims.Ledger("ch3"), claims.Ledger("ch3")
    found = reports.entered(ledger, laws)
    for law, of in laws.items():
        entries, table = study.measured(*of)
        alone.enter(entries, table)
        mine = found.loc[law]
        assert mine[table.columns].equals(table)
        assert (mine.drop(columns=table.columns) == "").all(axis=None)
    assert ledger.to_record().measurements == alone.to_record().measurements
