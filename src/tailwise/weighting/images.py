"""The experiment of chapter 1 on images: frozen features, small samples, many rules."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tailwise.data import fashion
from tailwise.methods import effective_dimension
from tailwise.methods.solvers import (
    leave_one_out_scores,
    solve_heads,
    solve_ratio_heads,
)
from tailwise.methods.weighted import (
    balancing_threshold,
    downsampled_rows,
    effective_ratio,
)
from tailwise.models.cnn import SmallCNN
from tailwise.profiles import Profile, reseeded
from tailwise.training import loop


@dataclass(frozen=True)
class FrozenPair:
    """Features of a minority and a majority class from a network that stays as it is.

    Attributes
    ----------
    names : tuple of str
        Minority class, majority class.
    pool : tuple of Tensor [m, d]
        Features from which samples for the last layer are drawn, unseen in training.
    test : tuple of Tensor [m, d]
    own_accuracy : tuple of float
        Test accuracy of the network's own head on each class.
    """

    names: tuple[str, str]
    pool: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    own_accuracy: tuple[float, float]


def _images(split: str, label: int, profile: Profile) -> Tensor:
    data = fashion.load(split, full=profile.data == "full")
    images = torch.from_numpy(data.images[data.labels == label])
    return images.float().div(255).unsqueeze(1).to(profile.device)


def frozen_pair(
    minority: str,
    majority: str,
    profile: Profile,
    *,
    seed: int = 0,
    epochs: int = 20,
    width: int = 64,
) -> FrozenPair:
    """Train a small network on an unbalanced pair of classes and freeze its features.

    Half of the majority's training images and a quarter as many of the minority's
    train the network; the others form the pool. Features are standardised by a pool
    that has the priors of training.

    Parameters
    ----------
    minority, majority : str
        Names in `tailwise.data.fashion.CLASSES`.
    profile : Profile
        Decides the data and the device.
    seed : int
        Seeds the network, the split and the order of the batches.
    epochs : int
    width : int
        Features d.

    Raises
    ------
    ValueError
        For a name that is not a class.
    """
    for name in (minority, majority):
        if name not in fashion.CLASSES:
            raise ValueError(
                f"unknown class {name!r}: expected one of {fashion.CLASSES}"
            )
    generator = torch.Generator().manual_seed(reseeded(seed))
    labels = [fashion.CLASSES.index(name) for name in (minority, majority)]
    train = [_images("train", label, profile) for label in labels]
    order = [torch.randperm(len(images), generator=generator) for images in train]
    train = [images[rows.to(images.device)] for images, rows in zip(train, order)]
    n_majority = len(train[1]) // 2
    cut = (n_majority // 4, n_majority)
    inputs = torch.cat([images[:n] for images, n in zip(train, cut)])
    targets = torch.tensor([1] * cut[0] + [0] * cut[1], device=inputs.device)

    devices = [0] if profile.device == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(reseeded(seed))
        model = SmallCNN(2, channels=8, n_features=width)
        model.to(profile.device, memory_format=torch.channels_last)  # the faster way
        loop.train(
            model,
            inputs,
            targets,
            epochs=epochs,
            generator=generator,
            batch_size=64,
            lr=2e-3,
        )
    pool = [loop.extract(model.features, images[n:]) for images, n in zip(train, cut)]
    test_images = [_images("test", label, profile) for label in labels]
    test = [loop.extract(model.features, images) for images in test_images]
    as_trained = torch.cat([pool[0][: len(pool[1]) // 4], pool[1]])
    centre, spread = as_trained.mean(0), as_trained.std(0).clamp_min(1e-8)

    def scale(features: Tensor) -> Tensor:
        return ((features - centre) / spread).to(profile.device)

    with torch.no_grad():
        own = [
            (model(images).argmax(1) == label).double().mean().item()
            for images, label in zip(test_images, (1, 0))
        ]
    return FrozenPair(
        (minority, majority),
        tuple(map(scale, pool)),
        tuple(map(scale, test)),
        tuple(own),
    )


def resample(
    pair: FrozenPair,
    n: int,
    n_resamples: int,
    *,
    prior: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Samples of the pool, without replacement inside each: X [S, n, d], y [S, n].

    Parameters
    ----------
    pair : FrozenPair
    n, n_resamples : int
    prior : float
        Share of the minority; its count is rounded.
    generator : torch.Generator
        A CPU generator.

    Raises
    ------
    ValueError
        If the pool has too few images of a class.
    """
    n_minority = round(prior * n)
    counts = (n_minority, n - n_minority)
    for features, count, name in zip(pair.pool, counts, pair.names):
        if count > len(features):
            raise ValueError(
                f"{count} × {name} asked for, the pool has {len(features)}"
            )
    X = [
        features[
            torch.rand(n_resamples, len(features), generator=generator)
            .argsort(1)[:, :count]
            .to(features.device)
        ]
        for features, count in zip(pair.pool, counts)
    ]
    y = -torch.ones(n_resamples, n, dtype=X[0].dtype, device=X[0].device)
    y[:, :n_minority] = 1
    return torch.cat(X, 1), y


def class_accuracies(
    coef: Tensor, intercept: Tensor, test: tuple[Tensor, Tensor]
) -> Tensor:
    """Accuracy per class, minority first: ``[2, ...]`` for heads ``[...]``."""
    scores = [coef @ features.mT + intercept.unsqueeze(-1) for features in test]
    hits = ((scores[0] > 0), (scores[1] < 0))
    return torch.stack([hit.double().mean(-1) for hit in hits])


@dataclass(frozen=True)
class RuleComparison:
    """What every rule for the weights achieved on the same resamples.

    Attributes
    ----------
    accuracy : dict of str to Tensor [2, S]
        Per rule: accuracy on the minority and the majority; NaN where the rule is not
        defined.
    ratio : dict of str to Tensor [S]
        The ratio of weights that a rule chose, for rules that choose one.
    grid : Tensor [R]
        Ratios of the sweep.
    sweep : Tensor [2, S, R]
        Accuracy on the minority and the majority at every ratio of the sweep.
    """

    accuracy: dict[str, Tensor]
    ratio: dict[str, Tensor]
    grid: Tensor
    sweep: Tensor

    def worst(self, rule: str) -> Tensor:
        """Worst-class accuracy of a rule on each resample, ``[S]``."""
        return self.accuracy[rule].amin(0)


def candidate_ratios(X: Tensor, prior: float, ridge: float) -> dict[str, Tensor]:
    """The ratio that each rule would use on each data set; NaN where undefined."""
    n, d = X.shape[-2:]
    y = -torch.ones(X.shape[:2], dtype=X.dtype, device=X.device)
    y[:, : round(prior * n)] = 1
    dimensions = {
        "ambient d": torch.full(X.shape[:1], float(d), device=X.device),
        "PCA 99 %": effective_dimension.pca_dimension(X),
        "participation": effective_dimension.participation_ratio(X),
        "noise edge": effective_dimension.marchenko_pastur_dimension(X),
    }
    ratios = {
        "unweighted": X.new_ones(len(X)),
        "priors": X.new_full((len(X),), (1 - prior) / prior),
    }
    for name, dim in dimensions.items():
        delta = dim.to(X) / n
        found = (2 * (1 - prior) - delta) / (2 * prior - delta)
        ratios[name] = torch.where(delta < 2 * prior, found, torch.nan)
    ratios["effective dof"] = effective_ratio(X, y, ridge)
    return ratios


def compare_rules(
    pair: FrozenPair,
    n: int,
    ridge: float,
    *,
    n_resamples: int,
    grid: Tensor,
    generator: torch.Generator,
    prior: float = 0.2,
    n_draws: int = 32,
) -> RuleComparison:
    """Refit the last layer under every rule on the same resamples.

    Parameters
    ----------
    pair : FrozenPair
    n : int
        Samples for the last layer.
    ridge : float
    n_resamples : int
        Independent resamples S.
    grid : Tensor [R]
        Ratios of the sweep.
    generator : torch.Generator
        A CPU generator.
    prior : float
        Share of the minority among the samples.
    n_draws : int
        Heads in the average of downsampled heads; 0 leaves those rules out.

    Returns
    -------
    RuleComparison
    """
    X, y = resample(pair, n, n_resamples, prior=prior, generator=generator)
    heads = rule_heads(X, y, ridge, grid=grid, n_draws=n_draws, generator=generator)
    return heads.judged(pair.test)


@dataclass(frozen=True)
class RuleHeads:
    """Heads on S samples: those of each rule, and those of a sweep over ratios.

    Attributes
    ----------
    heads : dict of str to (Tensor [S, d], Tensor [S])
        Coefficients and intercepts; NaN where a rule is not defined.
    ratio : dict of str to Tensor [S]
    grid : Tensor [R]
    sweep : tuple of Tensor
        Coefficients ``[S, R, d]`` and intercepts ``[S, R]``.
    """

    heads: dict[str, tuple[Tensor, Tensor]]
    ratio: dict[str, Tensor]
    grid: Tensor
    sweep: tuple[Tensor, Tensor]

    def judged(self, test: tuple[Tensor, Tensor]) -> RuleComparison:
        """Accuracies on features of the minority and the majority."""
        accuracy = {}
        for rule, (coef, intercept) in self.heads.items():
            found = class_accuracies(coef, intercept, test)
            accuracy[rule] = found.masked_fill(intercept.isnan(), torch.nan)
        sweep = class_accuracies(*self.sweep, test)
        return RuleComparison(accuracy, self.ratio, self.grid, sweep)


def rule_heads(
    X: Tensor,
    y: Tensor,
    ridge: float,
    *,
    grid: Tensor,
    n_draws: int,
    generator: torch.Generator,
) -> RuleHeads:
    """The head of every rule on samples X [S, n, d], y [S, n] with equal counts.

    The minority's rows come first, as from `resample`; the other parameters are those
    of `compare_rules`.
    """
    prior = (y[0] > 0).double().mean().item()
    ratio = candidate_ratios(X, prior, ridge)
    chosen = torch.stack(list(ratio.values()), 1)
    coef, intercept = solve_ratio_heads(X, y, chosen.nan_to_num(1.0), ridge)
    intercept = intercept.masked_fill(chosen.isnan(), torch.nan)
    heads = dict(zip(ratio, zip(coef.unbind(1), intercept.unbind(1))))

    unweighted = torch.ones_like(y)
    threshold = balancing_threshold(leave_one_out_scores(X, y, unweighted, ridge), y)
    heads["threshold shift"] = coef[:, 0], intercept[:, 0] - threshold

    one, averaged = [], []
    for features, labels in zip(X, y) if n_draws else ():
        rows = downsampled_rows(labels, n_draws, generator)
        equal = torch.ones_like(labels[rows])
        coef, intercept = solve_heads(features[rows], labels[rows], equal, ridge)
        one.append((coef[0], intercept[0]))
        averaged.append((coef.mean(0), intercept.mean(0)))
    if n_draws:
        heads["one downsample"] = tuple(map(torch.stack, zip(*one)))
        heads[f"{n_draws} downsamples"] = tuple(map(torch.stack, zip(*averaged)))
    return RuleHeads(heads, ratio, grid, solve_ratio_heads(X, y, grid, ridge))
