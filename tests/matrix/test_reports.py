"""Tables and figure of the matrix: their numbers are those of a loop over seeds."""

import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from plotted import legend
from scipy.stats import t as student

from tailwise.matrix import reports
from tailwise.matrix.methods import METHODS
from tailwise.matrix.run import METRICS, Record
from tailwise.metrics import Estimate

SEEDS = 5
WORLDS = {"here": "world <one>", "there": "world two"}


def facts(title, k):
    sizes = dict(zip(("classes", "features", "train", "val", "test"), range(k, k + 5)))
    return {"title": title, "chosen by": "balanced", "fell back": 0} | sizes


@pytest.fixture
def record():
    """Random numbers of every method; DFR is not in the second world."""
    rng = np.random.default_rng(0)
    values = {
        world: {
            method: {metric: rng.random(SEEDS).tolist() for metric in METRICS}
            for method in METHODS
            if (world, method) != ("there", "DFR")
        }
        for world in WORLDS
    }
    # Three gains of known sign: up, down, and nothing but noise.
    for method, gain in (("LA", 0.2), ("VS", -0.2), ("SoftAD", 0.0)):
        for metric in METRICS:
            noise = 0.01 * np.array([1, -1, 2, -2, 0])
            plain = np.array(values["here"]["CE"][metric])
            values["here"][method][metric] = (plain + gain + noise).tolist()
    described = {w: facts(title, 10 * i) for i, (w, title) in enumerate(WORLDS.items())}
    return Record("laptop", {}, described, values)


def by_hand(record, world, method, metric):
    """Mean and error of a gain over CE, seed by seed; of a level for CE itself."""
    found = record.values[world]
    plain = found["CE"][metric] if method != "CE" else [0.0] * SEEDS
    gains = [a - b for a, b in zip(found[method][metric], plain)]
    mean = sum(gains) / SEEDS
    spread = sum((g - mean) ** 2 for g in gains) / (SEEDS - 1)
    return mean, (spread / SEEDS) ** 0.5


def sign(mean, error, metric):
    if abs(mean) <= student.ppf(0.975, SEEDS - 1) * error:
        return "·"
    good = mean < 0 if metric in ("ECE", "loss", "loss, calibrated") else mean > 0
    return "▲" if good else "▼"


def text(record, world, method, metric):
    mean, error = by_hand(record, world, method, metric)
    if method == "CE":
        return f"{mean:.3f} ± {error:.3f}"
    return f"{sign(mean, error, metric)} {mean:+.3f} ± {error:.3f}"


@pytest.mark.parametrize(
    ("mean", "metric", "expected"),
    [
        (0.25, "balanced", "▲"),
        (-0.25, "balanced", "▼"),
        (0.25, "loss", "▼"),
        (-0.25, "ECE", "▲"),
        (0.125, "balanced", "·"),  # two standard errors, to the last digit
        (-0.125, "loss", "·"),
        (0.0, "balanced", "·"),
        (np.nan, "balanced", "·"),
    ],
)
def test_a_mark_is_the_sign_beyond_two_errors(mean, metric, expected):
    assert reports.mark(Estimate(mean, 0.0625, SEEDS), metric) == expected


def test_a_gain_without_any_spread_is_marked():
    assert reports.mark(Estimate(1e-9, 0.0, SEEDS), "balanced") == "▲"
    assert reports.mark(Estimate(0.0, 0.0, SEEDS), "balanced") == "·"


def test_a_table_of_a_world_is_a_loop(record):
    for world in WORLDS:
        found = reports.world_table(record, world)
        assert list(found.columns) == list(METRICS)
        assert list(found.index) == list(record.values[world])
        for method in found.index:
            for metric in METRICS:
                expected = text(record, world, method, metric)
                assert found.loc[method, metric] == expected
    here = reports.world_table(record, "here")["balanced"]
    assert [here[m][0] for m in ("LA", "VS", "SoftAD")] == ["▲", "▼", "·"]


@pytest.mark.parametrize("metric", METRICS)
def test_a_heat_map_is_a_loop(record, metric):
    found = reports.HeatMap(record, metric).frame()
    assert list(found.columns) == list(WORLDS.values())
    assert list(found.index) == list(METHODS)
    for world, title in WORLDS.items():
        for method in METHODS:
            known = method in record.values[world]
            expected = text(record, world, method, metric) if known else "–"
            assert found.loc[method, title] == expected


@pytest.mark.parametrize(("metric", "full"), [("balanced", 0.3), ("loss", 0.05)])
def test_colours_are_the_signs_and_deepen_with_the_gain(record, metric, full):
    shown = reports.HeatMap(record, metric, full)._repr_html_()
    assert "world &lt;one&gt;" in shown
    assert "<one>" not in shown
    rows = re.findall(r"<tr>\s*<th scope=.row.>(.*?)</th>(.*?)</tr>", shown, re.DOTALL)
    assert [name for name, _ in rows] == list(METHODS)
    hues = {"▲": reports.BETTER, "▼": reports.WORSE}
    for method, cells in rows:
        tags = re.findall(r"<td[^>]*>", cells)
        for world, tag in zip(WORLDS, tags, strict=True):
            colour = re.findall(r"rgba\((.*?)\)", tag)
            if method == "CE" or method not in record.values[world]:
                assert colour == []
                continue
            mean, error = by_hand(record, world, method, metric)
            hue = hues.get(sign(mean, error, metric))
            depth = 0.1 + 0.4 * min(1, abs(mean) / full)
            assert colour == ([f"{hue}, {depth:.2f}"] if hue else [])


def test_two_records_are_compared_by_a_loop(record):
    # The same, with the gains of VS turned round and those of LA drowned in noise.
    values = {w: dict(methods) for w, methods in record.values.items()}
    rng = np.random.default_rng(1)
    for metric, plain in values["here"]["CE"].items():
        vs, noise = values["here"]["VS"][metric], 9 * rng.standard_normal(SEEDS)
        turned = {metric: [2 * p - v for p, v in zip(plain, vs)]}
        values["here"]["VS"] = values["here"]["VS"] | turned
        values["here"]["LA"] = values["here"]["LA"] | {metric: noise.tolist()}
    del values["there"]["SoftAD"]
    other = replace(record, profile="full", values=values)
    signs = []
    for world, method, metric in product(WORLDS, METHODS, METRICS):
        if method != "CE" and method in values[world]:
            found = [by_hand(r, world, method, metric) for r in (record, other)]
            signs.append([sign(*each, metric) for each in found])
    turned = [s for s in signs if set(s) == {"▲", "▼"}]
    both = [s for s in signs if "·" not in s]
    assert len(turned) >= len(METRICS)
    assert reports.agreement(record, other) == (
        f"Of {len(signs)} gains over CE in both, laptop decides "
        f"{sum(a != '·' for a, _ in signs)} and full {sum(b != '·' for _, b in signs)}."
        f" Both decide {len(both)}, {len(turned)} of them with opposite signs."
    )
    shown = reports.reversals(record, other)
    assert len(shown) == len(turned)
    row = shown[(shown.method == "VS") & (shown.metric == "loss")].iloc[0]
    for profile, each in (("laptop", record), ("full", other)):
        mean, error = by_hand(each, "here", "VS", "loss")
        assert row[profile] == f"{mean:+.3f} ± {error:.3f}"
    assert reports.reversals(record, record).empty


def test_worlds_stand_in_the_order_of_the_book(record):
    names = ("textiles", "tail", "step", "here")
    mixed = replace(record, worlds=dict.fromkeys(names, {}))
    assert [*reports.worlds_of(mixed)] == ["step", "tail", "textiles", "here"]


def test_every_world_has_a_fold_with_its_table(record):
    shown = reports.WorldTables(record)
    assert re.findall(r"<summary>(.*?)</summary>", shown._repr_html_()) == [
        "world &lt;one&gt;",
        "world two",
    ]
    for world, title in WORLDS.items():
        table = reports.world_table(record, world)
        assert f"{title}\n{table.to_string()}" in repr(shown)
        assert table.to_html(border=0) in shown._repr_html_()


def test_worlds_and_methods_are_told_as_they_are(record):
    found = reports.worlds_table(record)
    assert list(found.index) == list(WORLDS.values())
    for world, title in WORLDS.items():
        assert found.loc[title].to_dict().items() <= record.worlds[world].items()
    assert set(found.columns) == record.worlds["here"].keys() - {"fell back", "title"}
    told = reports.methods_table()
    assert list(told.index) == list(METHODS)
    for name, method in METHODS.items():
        assert told.loc[name].tolist() == [method.chapter or "–", method.says]


def test_the_price_is_drawn_with_the_errors_of_both_gains(page, record):
    ax = page()
    labels = {"LA": "adjusted", "DFR": "refitted", "VS": "both"}
    assert reports.price_plot(ax, record, "there", labels) is ax
    assert legend(ax) == ["adjusted", "both"]  # DFR was not run there
    assert ax.get_title(loc="left") == "world two"
    for container, method in zip(ax.containers, ("LA", "VS"), strict=True):
        point, _, bars = container.lines
        for axis, metric in enumerate(("training mix", "worst group")):
            mean, error = by_hand(record, "there", method, metric)
            assert point.get_xydata()[0, axis] == pytest.approx(mean)
            (ends,) = bars[axis].get_segments()
            half = student.ppf(0.975, SEEDS - 1) * error
            expected = [mean - half, mean + half]
            np.testing.assert_allclose(ends[:, axis], expected)
    markers = {container.lines[0].get_marker() for container in ax.containers}
    assert len(markers) == 2
    # Every point is between the limits to the left.
    places = [c.lines[0].get_xydata()[0] for c in ax.containers]
    assert ax.get_xlim()[0] < min(x for x, _ in places)
