"""Mistakes on purpose: read, judged like any claim, and each a function that runs."""

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from tailwise import profiles
from tailwise.ledger import claims, mistakes
from tailwise.metrics import Estimate

MADE = mistakes.load()
# Said on the page to change no verdict.
IDLE = {"rival_untuned", "scaler_on_everything", "threshold_on_test"}


@pytest.mark.parametrize("mistake", MADE, ids=lambda m: m.id)
def test_a_switch_flips_a_recorded_verdict_or_says_that_it_does_not(mistake):
    effects = mistakes.effects(mistake)
    assert effects, "not measured: python -m tools.studies.study_mistakes"
    assert any(effect.flips for effect in effects) == (mistake.id not in IDLE)


@pytest.mark.parametrize("mistake", MADE, ids=lambda m: m.id)
def test_without_the_mistake_the_verdict_is_the_recorded_one(mistake):
    record = claims.recorded(mistake.chapter, "laptop")
    for effect in mistakes.effects(mistake):
        without, _ = effect.verdicts()
        assert without == record.verdicts[effect.claim.id], effect.claim.id
        parts = {measured.part for measured in effect.without}
        assert parts == set(effect.claim.parts or (None,))


@pytest.fixture(scope="module")
def small():
    """By package, what its mistakes are made on, at the smallest size."""
    found, profile = {}, profiles.current("smoke")

    def prepared(package: str):
        if package not in found:
            module = import_module(f"tailwise.{package}.mistakes")
            found[package] = module, module.prepare(profile)
        return found[package]

    return prepared


@pytest.mark.parametrize("mistake", MADE, ids=lambda m: m.id)
def test_a_mistake_measures_whole_claims_twice(small, mistake):
    module, runs = small(mistake.package)
    found = getattr(module, mistake.id)(runs)
    known = claims.load(mistake.chapter).claims
    assert {claim.partition(".")[0] for claim in found} == {mistake.chapter}
    for claim, parts in found.items():
        assert set(parts) == set(known[claim].parts or ("",))
        for pair in parts.values():
            without, with_it = pair
            assert min(without.n, with_it.n) >= 2


def test_a_file_gives_back_what_was_measured(tmp_path, monkeypatch):
    (mistake, *_) = MADE
    claim = claims.load(mistake.chapter).claims["ch1.beats_priors"]
    pairs = {
        part: (Estimate(0.1 + k, 0.01, 30), Estimate(-0.1 - k, 0.02, 30))
        for k, part in enumerate(claim.parts)
    }
    text = mistakes.dumps({mistake.id: {claim.id: pairs}}, {"date": "today"})
    kept = tmp_path / "results" / mistakes.FOLDER / f"{mistake.package}.json"
    kept.parent.mkdir(parents=True)
    kept.write_text(text, "utf-8")
    book = claims.book_dir()
    (tmp_path / "claims").symlink_to(book / "claims")
    monkeypatch.setattr(claims, "book_dir", lambda: tmp_path)
    (effect,) = mistakes.effects(mistake)
    assert effect.claim == replace(claim, again={})
    for side, measured in enumerate((effect.without, effect.with_it)):
        for m, (part, pair) in zip(measured, pairs.items(), strict=True):
            assert (m.part, m.value) == (part, pair[side].mean)
            assert (m.stderr, m.n) == (pair[side].stderr, pair[side].n)
    assert effect.verdicts() == ("reproduced", "not reproduced")
    assert effect.flips


def test_a_short_interval_decides_what_is_open():
    about = dict(says="s", where="ours", metric="m", repetition="seed", origin="ours")
    claim = claims.Claim(id="ch0.x", kind="at least", bound=0.1, seeds=5, **about)
    measured = (claims.Measurement(0.13, 0.02, 5),)
    assert claims.verdict(claim, measured, "laptop") == "undecided"
    assert mistakes.short_verdict(claim, measured) == "reproduced"
    exact = claims.Claim(
        id="ch0.y",
        kind="at most",
        bound=1.0,
        exact=True,
        **about | {"repetition": ""},
    )
    assert mistakes.short_verdict(exact, (claims.Measurement(2.0),)) == "not reproduced"


def test_short_intervals_change_verdicts_of_the_record():
    for chapter in claims.chapters():
        verdicts = claims.recorded(chapter, "laptop").verdicts
        for id, (before, after) in mistakes.short_intervals(chapter).items():
            assert verdicts[id] == before != after


def test_errors_on_fitted_rows_are_counted():
    """By a loop over the rows of one data set."""
    from tailwise.weighting import mistakes as module

    one = module.prepare(profiles.current("smoke"))[1.0][0]
    for k, found in enumerate(one.on_fitted()):
        wrong = {1: [], -1: []}
        for x, label in zip(one.data.X[0], one.data.y[0].tolist()):
            score = float(x @ one.coef[k] + one.intercept[k])
            wrong[int(label)].append(score * label < 0)
        np.testing.assert_allclose(found, [np.mean(wrong[1]), np.mean(wrong[-1])])


def test_a_malformed_entry_is_refused(tmp_path, monkeypatch):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "mistakes.yml").write_text("- {id: x}\n", "utf-8")
    monkeypatch.setattr(claims, "book_dir", lambda: tmp_path)
    with pytest.raises(ValueError, match="mistakes.yml: .*missing"):
        mistakes.load()
