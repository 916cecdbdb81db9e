"""The command: from a file to a report, or one sentence that says why not."""

import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tailwise import own
from tailwise.own import command

RNG = np.random.default_rng(3)
P, S = 60, 4
RARE = RNG.permutation(np.arange(P) < 15)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """A table as people export it: an index, spaces, text, several scans a patient."""
    centre = RNG.normal(size=(P, 8)) + 2.5 * RARE[:, None] * np.eye(8)[0]
    X = np.repeat(centre, S, 0) + 0.4 * RNG.normal(size=(P * S, 8))
    table = pd.DataFrame(X, columns=[f"emb_{k}" for k in range(8)])
    table["finding"] = np.where(np.repeat(RARE, S), " tumour", "none ")
    table["site"] = np.repeat(RNG.choice(["A", "B"], P), S)
    table["patient"] = np.repeat(RNG.permutation(900)[:P], S)
    path = tmp_path_factory.mktemp("own") / "scans.csv"
    table.sample(frac=1, random_state=0).to_csv(path)
    return path


def run(scans, *words, out):
    words = ["pilot", scans, "--label", "finding", "--out", out, *words]
    return command.main([str(word) for word in words])


COSTS = ["--cost-miss", "90", "--cost-false-alarm", "4", "--currency", "EUR"]


@pytest.fixture(scope="module")
def written(scans, tmp_path_factory):
    out = tmp_path_factory.mktemp("own") / "pilot"
    out.mkdir()
    (out / ".DS_Store").write_text("left by a file browser")
    assert run(scans, "--unit", "patient", *COSTS, "--splits", "10", out=out) == 0
    return out


def test_a_head_and_a_report_are_written(written):
    names = {path.name for path in written.iterdir()}
    assert {"head.pt", "risk.pt", "head.json", "head.joblib", "report.html"} <= names
    about = json.loads((written / "head.json").read_text("utf-8"))
    assert about["columns"] == [f"emb_{k}" for k in range(8)]
    assert about["classes"] == ["none", "tumour"]
    assert about["threshold"]["class"] == "tumour"
    assert about["threshold"]["cost_miss"] == 90
    assert sum(about["shares"]) == pytest.approx(1)


def test_the_report_stands_alone(written):
    text = (written / "report.html").read_text("utf-8")
    about = json.loads((written / "head.json").read_text("utf-8"))
    assert about["verdict"].split(":")[0] in text
    for said in ("alarms per hit", "average precision", "EUR", "patient", "risk.pt"):
        assert said in text
    assert text.count("<svg") == 2
    assert not re.findall(r"<script|<link|(?:src|href)=[\"']?(?!#)[\w/]", text)
    assert "emb_0" not in re.sub(r"<dl>.*</dl>", "", text, flags=re.DOTALL)


def test_notes_and_progress_go_to_the_error_stream(scans, tmp_path, capsys):
    asked = ["--group", "site", "--unit", "patient", "--splits", "10"]
    assert run(scans, *asked, out=tmp_path / "a") == 0
    shown = capsys.readouterr()
    assert "'Unnamed: 0' counts the rows, in another order" in shown.err
    assert "10 of 10 splits" in shown.err
    assert shown.out.splitlines()[-1] == f"Open {tmp_path / 'a' / 'report.html'}"


def test_words_of_a_setting_need_no_quotes():
    words = [
        "pilot",
        "a.csv",
        "--tails",
        "leave-out",
        "--group",
        "a",
        "b",
        "--out",
        "o",
    ]
    settings = command.settings_of(command.parser().parse_args(words))
    assert (settings.tails, settings.group) == ("leave out", ["a", "b"])
    assert settings.objective == "balanced"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--unit", "person"], "no column 'person'"),
        (["--splits", "3"], "n_splits is 3"),
        (["--objective", "cost"], "say what a miss costs"),
        (["--find", "cyst"], "no class 'cyst'"),
        (["--accept", "7"], "accept is 7"),
        (["--cost-miss", "-2"], "the cost miss is -2"),
        (["--cost-false-alarm", "5"], "says nothing without --cost-miss"),
    ],
)
def test_what_is_refused_leaves_nothing(scans, tmp_path, capsys, words, says):
    assert run(scans, *words, out=tmp_path / "a") == 2
    shown = capsys.readouterr().err
    assert shown.startswith("Not started: ")
    assert says in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "a").exists()


def test_a_folder_with_other_things_is_refused_first(scans, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert run(scans, out=tmp_path) == 2
    assert "'thesis.txt'" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_help_names_every_setting(capsys):
    for words in (["--help"], ["pilot", "--help"]):
        with pytest.raises(SystemExit) as left:
            command.main(words)
        assert left.value.code == 0
    shown = capsys.readouterr().out
    options = "label group unit split features tails objective find accept out splits"
    for name in [*options.split(), "cost-miss", "cost-false-alarm", "max-alarms"]:
        assert f"--{name}" in shown
    assert "report.html" in shown


def test_a_papers_run_is_that_of_the_checkout(monkeypatch, capfd):
    assert command.main(["paper"]) == 2
    assert "1 to 5" in capfd.readouterr().err
    calls = []
    monkeypatch.setattr(
        command.subprocess, "call", lambda words, env: calls.append((words, env)) or 0
    )
    assert command.main(["paper", "2", "--help"]) == 0
    words, env = calls[0]
    assert words[1:] == ["-m", "tools.paper", "2", "--help"]
    root = Path(env["PYTHONPATH"].split(os.pathsep)[0])
    assert (root / "tools" / "paper" / "chapter2.py").is_file()
    monkeypatch.setattr(command, "checkout", lambda: None)
    assert command.main(["paper", "2"]) == 2
    assert "belong to a checkout" in capfd.readouterr().err


def test_a_terminal_sees_one_line_that_moves():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    shown, start = Terminal(), command.time.monotonic() - 3
    for k in (1, 2, 3):
        command.progress(k, 3, start=start, stream=shown)
    assert shown.getvalue().count("\r") == 2
    assert shown.getvalue().endswith("\n")
    assert "1 of 3 splits, about 6 s left" in shown.getvalue()


def test_the_page_and_the_command_are_the_same(scans, written):
    settings = own.Settings(
        path=scans,
        label="finding",
        unit="patient",
        cost_miss=90.0,
        cost_false_alarm=4.0,
        currency="EUR",
        objective="cost",
        n_splits=10,
        out=str(written),
    )
    with pytest.warns(UserWarning, match="counts the rows"):
        data = own.prepare(settings)
    done = own.study(data, settings)
    about = json.loads((written / "head.json").read_text("utf-8"))
    assert about["verdict"] == done.verdict.sentence
    assert about["threshold"] == done.threshold
    assert own.page(done) == (written / "report.html").read_text("utf-8")
