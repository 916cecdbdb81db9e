"""Noise is not used, an effect is: the recorded study, and a few of its sets again."""

import importlib.util
import json
from pathlib import Path

import pytest
from scipy.stats import binom

from tailwise.own.trust import trust

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study():
    path = ROOT / "tools" / "studies" / "study_noise.py"
    spec = importlib.util.spec_from_file_location("study_noise", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_noise_is_used_no_more_often_than_intervals_allow(study):
    found = json.loads(study.RESULT.read_text("utf-8"))
    noise = found["noise"]
    assert noise["sets"] >= 200
    # A two-sided interval of 95 % is wrong on the upper side once in forty.
    assert binom.sf(noise["use"] - 1, noise["sets"], 0.025) > 0.01 or not noise["use"]
    power = [found["effects"][str(effect)]["share"] for effect in study.EFFECTS]
    assert power == sorted(power)


@pytest.mark.parametrize("kind", ["units", "identifier", "index"])
def test_a_leak_that_a_file_brings_is_not_used(study, kind):
    assert study.one(kind, "balanced", 0.0, 77) != "use"


def test_a_large_effect_is_used(study):
    assert study.one("identifier", "balanced", 0.3, 78) == "use"


def test_the_page_says_what_was_counted(study):
    found = json.loads(study.RESULT.read_text("utf-8"))
    said = " ".join(trust())
    assert f"“use” {found['noise']['use']} times" in said
    for effect in study.EFFECTS:
        part = found["effects"][str(effect)]
        assert f"({part['use']} of {part['sets']}) at {100 * effect:g} points" in said
