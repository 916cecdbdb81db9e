"""Chapter 4's mixtures: two of one kind, a poor third, scorers, forward selection."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from tailwise.experts.contest import Bench, seen_anew
from tailwise.experts.expert import Expert, scores
from tailwise.experts.mechanisms import Repetition, of_tests
from tailwise.experts.scorer import INPUTS, Scorer, fit_scorer, mix
from tailwise.experts.study import KINDS, Pair, placed
from tailwise.models.vit import GlyphViT
from tailwise.profiles import reseeded
from tailwise.training.batches import generator_for

FOLDS = 2  # the rarest class has two pictures
VIEWS = 4  # augmented pictures of each that a scorer reads
SOURCES = ("training", "views", "cross-fitted", "held out")  # of what a scorer reads
WRONG_SCALES = (0.25, 2.0, 4.0)  # of the language expert
# Pairs of experts: kind, pair of pretraining, training again with other numbers.
MEMBERS = {
    "two kinds": ("visual", "language"),
    "two visual": ("visual", "visual, other"),
    "one visual, trained twice": ("visual", "visual, again"),
    "one language, trained twice": ("language", "language, again"),
}


def members(rep: Repetition) -> dict[str, Expert]:
    """Both experts after phase 1, and the same trained with other random numbers."""
    found = {}
    for kind in KINDS:
        found[kind] = rep.trained("phase 1", kind)
        found[f"{kind}, again"] = rep.trained("phase 1", kind, again=1)
    return found


def other_seed(rep: Repetition) -> list[dict]:
    """The mean of two visual experts of two pretraining seeds."""
    task = rep.task()
    both = [rep.trained("phase 1", "visual", which=which) for which in range(2)]
    one, other = (of_tests(expert, task) for expert in both)
    return [
        rep.row("member", "visual, other", other, task),
        rep.row("mixture", "two visual", (one + other) / 2, task),
    ]


def poor(rep: Repetition) -> Expert:
    """A probe of a network that was never pretrained."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(reseeded(rep.number))
        network = GlyphViT().eval()
    like = next(rep.load(rep.pairs[0]).visual.parameters())
    pair = Pair(network.to(like), network, network)
    return Bench(pair, "visual", rep.task(), rep.number, rep.terms).probe()


def mixtures(rep: Repetition) -> list[dict]:
    """What the plain mean gains, with controls; forward selection; wrong scales."""
    task, experts = rep.task(), members(rep)
    experts["poor"] = poor(rep)
    test = {name: of_tests(expert, task) for name, expert in experts.items()}
    rows = [rep.row("member", name, x, task) for name, x in test.items()]
    for name, pair in MEMBERS.items():
        if name != "two visual":
            mean = sum(test[one] for one in pair) / 2
            rows.append(rep.row("mixture", name, mean, task))
    third = (test["visual"] + test["language"] + test["poor"]) / 3
    rows.append(rep.row("mixture", "with a poor third", third, task))
    everyone = sum(test.values()) / len(test)
    rows.append(rep.row("mixture", "all candidates", everyone, task))
    val = placed(task.val, experts["visual"].backbone.like)
    held_out = {name: scores(x, val.images).cpu() for name, x in experts.items()}
    chosen = forward_selection(held_out, task.val.labels)
    mean = sum(test[name] for name in chosen) / len(chosen)
    row = rep.row("mixture", "forward selection", mean, task, members=chosen)
    rows.append(row)
    for factor in WRONG_SCALES:
        mean = (test["visual"] + factor * test["language"]) / 2
        rows.append(rep.row("mixture", f"language times {factor:g}", mean, task))
    either = torch.stack([test[kind].argmax(-1) for kind in KINDS])
    right = either[:, : len(task.test.labels)] == task.test.labels
    known = dict(split=rep.number, pair=rep.pairs[0], kind="mixture")
    known |= dict(method="either right", all=right.any(0).double().mean().item())
    return [*rows, known]


def forward_selection(scores: Mapping[str, Tensor], labels: Tensor) -> list[str]:
    """Experts added one at a time while their mean of logits gets more right.

    Parameters
    ----------
    scores : mapping of str to Tensor [n, k]
        Logits of each expert on pictures that none was trained on.
    labels : Tensor [n]

    Returns
    -------
    list of str
        Names in the order in which they were added. An equal score adds nobody.
    """
    chosen, best = [], -1.0
    while len(chosen) < len(scores):
        found = {}
        for name in scores.keys() - set(chosen):
            mean = sum(scores[each] for each in (*chosen, name))
            found[name] = (mean.argmax(-1) == labels).double().mean().item()
        name = min(found, key=lambda name: (-found[name], list(scores).index(name)))
        if found[name] <= best:
            break
        chosen, best = [*chosen, name], found[name]
    return chosen


def scorers(rep: Repetition) -> list[dict]:
    """Scorers fitted on four kinds of scores, against the plain mean of phase 1."""
    task = rep.task()
    experts = [rep.trained("phase 1", kind) for kind in KINDS]
    test = torch.stack([of_tests(expert, task) for expert in experts])
    rows = []
    for (source, (seen, labels)), inputs in product(
        fitted_on(rep, experts).items(), INPUTS
    ):
        g = generator_for(rep.number, "scorer", inputs)
        scorer = Scorer(2, len(task.counts), generator=g, inputs=inputs)
        fit_scorer(scorer, seen, labels, generator=g)
        with torch.no_grad():
            weights = scorer(test)
        logits = mix(test, weights)
        more = {}
        if inputs != "scalar":
            n = len(task.test.labels)
            more["auc"] = weight_auc(test[:, :n], weights[:n], task.test.labels)
        method = f"scorer, {inputs}, {source}"
        rows.append(rep.row("mixture", method, logits, task, **more))
    return [*rows, leak(rep, experts, test)]


def fitted_on(
    rep: Repetition, experts: Sequence[Expert]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Scores ``[2, n, k]`` and labels that a scorer may be fitted on; none of test."""
    task, like = rep.task(), experts[0].backbone.like
    train, val = placed(task.train, like), placed(task.val, like)
    g = generator_for(rep.number, "scorer", "views")
    views = seen_anew(train.images, VIEWS, g)

    def both(images: Tensor) -> Tensor:
        return torch.stack([scores(expert, images).cpu() for expert in experts])

    labels = task.train.labels
    return {
        "training": (both(train.images), labels),
        "views": (both(views), labels.repeat(VIEWS)),
        "cross-fitted": (cross_fitted(rep), labels),
        "held out": (both(val.images), task.val.labels),
    }


def folds(labels: Tensor) -> Tensor:
    """The fold of each picture: the j-th of its class is in fold j modulo `FOLDS`."""
    place = torch.empty_like(labels)
    for c in labels.unique():
        mine = (labels == c).nonzero()[:, 0]
        place[mine] = torch.arange(len(mine)) % FOLDS
    return place


def cross_fitted(rep: Repetition) -> Tensor:
    """Scores of training pictures by experts of phase 1 that did not see them."""
    task = rep.task()
    train, fold = task.train, folds(task.train.labels)
    found = torch.empty(len(KINDS), len(train.labels), len(task.counts))
    for (i, kind), j in product(enumerate(KINDS), range(FOLDS)):
        rest, mine = fold != j, fold == j
        part = replace(
            train,
            images=train.images[rest],
            labels=train.labels[rest],
            faces=train.faces[rest],
        )
        expert = rep.bench(kind, replace(task, train=part)).parts()
        images = train.images[mine].to(expert.backbone.like)
        found[i, mine] = scores(expert, images).cpu()
    return found


def weight_auc(logits: Tensor, weights: Tensor, labels: Tensor) -> float:
    """How well the weight of the first expert tells that it alone is right.

    Area under the ROC curve over pictures with exactly one expert right; 1/2 is chance.

    Parameters
    ----------
    logits : Tensor [2, n, k]
    weights : Tensor [n, 2]
    labels : Tensor [n]
    """
    first, second = logits.argmax(-1) == labels
    one = first != second
    return float(roc_auc_score(first[one].numpy(), weights[one, 0].numpy()))


def leak(rep: Repetition, experts: Sequence[Expert], test: Tensor) -> dict:
    """Training less test accuracy: in rare classes less in all others, both experts."""
    task = rep.task()
    train = placed(task.train, experts[0].backbone.like)
    on = {"train": torch.stack([scores(x, train.images).cpu() for x in experts])}
    on["test"] = test[:, : len(task.test.labels)]
    row = dict(split=rep.number, pair=rep.pairs[0], kind="mixture", method="leak")
    for name, logits in on.items():
        labels = getattr(task, name).labels
        right = logits.argmax(-1) == labels
        for part, few in (("few", True), ("other", False)):
            mine = task.few[labels] == few
            row[f"{name} {part}"] = right[:, mine].double().mean().item()
    return row
