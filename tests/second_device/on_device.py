"""The package on the second device: run in a process of its own, by the tests beside.

Each function gets its inputs on the CPU and on the second device. The results must be
equal and, where tensors came in, lie where they came from.
"""

from dataclasses import fields, is_dataclass

import pytest
import second
import tiny_birds
import tiny_cifar
import tiny_longtails
import tiny_paper
import torch

from tailwise.data import cifar, glyph_corruption, glyphs, waterbirds
from tailwise.experts import clouded_logits, paper_size, scorer, training
from tailwise.geometry import ridge, seli, ufm
from tailwise.methods import (
    calibration,
    effective_dimension,
    losses,
    risk,
    solvers,
    weighted,
)
from tailwise.softad import ensemble, views
from tailwise.spurious import explain
from tailwise.training.batches import class_balanced, instance_balanced
from tailwise.weighting import simulation
from tools.paper import chapter1, chapter2, chapter3, chapter4, chapter5

second.register()


def to(device, value):
    """Tensors, alone or inside of something, on a device."""
    if isinstance(value, torch.Tensor | torch.nn.Module):
        return value.to(device)
    if isinstance(value, dict):
        return {key: to(device, part) for key, part in value.items()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(to(device, part) for part in value)
    return value


def tensors(value) -> list[torch.Tensor]:
    """All tensors inside of a result."""
    if isinstance(value, torch.Tensor):
        return [value]
    if is_dataclass(value):
        value = [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in tensors(part)]
    return []


def seeded(seed=0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape, dtype=torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=seeded(), dtype=dtype)


X, y = draw(2, 30, 4), torch.ones(2, 30, dtype=torch.float64)
y[:, :24] = -1
X[:, 24:] += 0.5
WEIGHTS, RATIOS = torch.rand(2, 30, generator=seeded()).double(), torch.tensor([1.0, 4])
LOGITS, LABELS = 3 * draw(12, 4), torch.arange(12) % 4
COUNTS = torch.tensor([40.0, 20, 10, 5], dtype=torch.float64)
GRAM = draw(4, 6) @ draw(4, 6).T
TASK = [torch.rand(3, 6, 9, generator=seeded()), draw(3, 6, 9) > 0]
LAW = [0.4, 0.3, 0.1, 0.1, 0.05, 0.05]
RULES = {"erm": {}, "flooding": {"tau": 0.4}, "iflood": {"tau": 0.4}}
RULES |= {"softad": {"tau": 0.4}, "cvar": {"quantile": 0.5}, "tilted": {"gamma": 0.3}}
RULES |= {"chi2_dro": {"radius": 1.0}, "auto_softad": {"share": 0.25}}
RULES |= {"softad_cvar": {"tau": 0.4, "quantile": 0.5}}
RULES |= {"softad_dro": {"tau": 0.4, "radius": 1.0}}
RULES |= {"cvar_softad": {"tau": 0.4, "quantile": 0.5}}
RULES |= {"frozen_cvar_softad": {"tau": 0.4, "quantile": 0.5}}
KNOBS = {"ce": {}, "wce": {}, "la": {"tau": 1.0}, "ldt": {"gamma": 0.5}}
KNOBS |= {"cdt": {"gamma": 0.5}, "vs": {"gamma": 0.3, "tau": 1.0}}
KNOBS |= {"ldam": {"max_margin": 0.5}}
# Given numbers beside computed ones: chapter 5's fault.
CONFIGS = [
    ufm.Config(),
    ufm.Config("cdt", 0.5, tau=1.0),
    ufm.Config(delta=[1.0, 0.9, 0.8, 0.7], weight=[1.0, 2.0, 3.0, 4.0], ridge=1e-3),
    ufm.Config(offset=[[0.0, 1, 2, 3]] * 4, weight_power=1.0, normalised=False),
]


def loss_of(config):
    def values(n):
        loss = ufm.Loss(n.expand(len(config), -1), config)
        Z = n.new_ones(len(config), 4, 4).cumsum(-1)
        return vars(loss), loss.log_value(Z), loss.targets()

    return values


def logit_adjusted(knobs):
    def value(z, target, counts):
        made = losses.knobs(knobs, counts, **KNOBS[knobs])
        named = losses.family_loss(z, target, counts, knobs, **KNOBS[knobs])
        return losses.adjusted_cross_entropy(z, target, **made), named

    return value


def probed(images, target):
    """A scorer, fitted; what a training loop of chapter 4 does with rows."""
    made = scorer.Scorer(2, 4, generator=seeded()).to(images)
    settings = training.Settings(steps=3, batch=8)
    scorer.fit_scorer(made, images, target, generator=seeded(), settings=settings)
    return scorer.mix(images, made(images).detach())


def batches(labels):
    each = (
        instance_balanced(labels, 4, generator=seeded()),
        class_balanced(labels, 4, generator=seeded()),
    )
    return [labels[next(rows)] for rows in each]


def trained(architecture):
    def params(x, target, group):
        methods = [
            ensemble.Method("ERM"),
            ensemble.Method("SoftAD", "softad", {"tau": 0.1}),
            ensemble.Method("SAM", ascent="sam", reach=0.1),
            ensemble.Method("SharpDRO", ascent="sharpdro", reach=0.1),
        ]
        sizes = dict(epochs=2, batch_size=5, lr=0.05)
        found = ensemble.train(architecture, x, target, methods, group=group, **sizes)
        return found.params, found.logits(x)

    return params


def images(n, *shape):
    return torch.rand(2, n, *shape, generator=seeded())


CALLS = {
    "heads": (solvers.solve_heads, X, y, WEIGHTS, 0.1),
    "heads at ratios": (solvers.solve_ratio_heads, X, y, RATIOS, 0.1),
    "heads, ratios on the CPU": (
        lambda X, y: solvers.solve_ratio_heads(X, y, RATIOS),
        X,
        y,
    ),
    "logistic heads": (solvers.solve_logistic_heads, X, y, WEIGHTS, 0.1),
    "degrees of freedom": (solvers.effective_dof, X, WEIGHTS, 0.1),
    "degrees of freedom at ratios": (solvers.ratio_dof, X, y, RATIOS, 0.1),
    "leave-one-out scores": (solvers.leave_one_out_scores, X, y, WEIGHTS, 0.1),
    "effective ratio": (weighted.effective_ratio, X, y, 0.1),
    "balancing threshold": (weighted.balancing_threshold, X[..., 0], y),
    "downsampled rows": (lambda y: y[weighted.downsampled_rows(y, 3, seeded())], y[0]),
    "PCA": (effective_dimension.pca_dimension, X),
    "participation": (effective_dimension.participation_ratio, X),
    "noise edge": (effective_dimension.marchenko_pastur_dimension, X),
    "exact errors": (simulation.exact_errors, X[:, 0], X[:, 0, 0], 1.0),
    "map": (explain.class_activation_map, images(3, 4, 4), draw(3), LABELS[:2] % 2),
    "map share": (explain.map_share, images(4, 4), images(8, 8) > 0.5),
    "flips": (explain.flip_rate, LOGITS[0], LOGITS[1]),
    "edit": (explain.edit_effect, LOGITS[0], LOGITS[1]),
    "neurons": (explain.neuron_effects, LOGITS, LABELS),
    "dashboard": (views.dashboard, *TASK, LAW),
    "dashboard of a law": (views.dashboard, *TASK, "rare"),
    "drift": (views.drift, *TASK, torch.tensor([LAW, LAW[::-1]])),
    "temperature": (calibration.fit_temperature, LOGITS[None], LABELS),
    "weighted temperature": (
        calibration.fit_temperature,
        LOGITS[None],
        LABELS,
        torch.rand(12, generator=seeded()),
    ),
    "calibration": (calibration.calibration_error, LOGITS[None], LABELS[None]),
    "VS": (losses.vs_loss, LOGITS, LABELS, COUNTS),
    "LDT": (
        lambda z, t, n: losses.ldt_loss(z, t, n, gamma=0.5),
        LOGITS,
        LABELS,
        COUNTS,
    ),
    "LDT, numbers": (
        lambda z, t: losses.ldt_loss(
            z, t, [4, 3, 2, 1], gamma=0.5, weight=[1, 2, 3, 4]
        ),
        LOGITS,
        LABELS,
    ),
    "asymmetric loss": (losses.asymmetric_loss, LOGITS, LABELS),
    "A-GCL": (
        lambda c, t, n: clouded_logits.agcl(c, t, n, generator=seeded()),
        LOGITS.tanh(),
        LABELS,
        COUNTS,
    ),
    "A-GCL, numbers": (
        lambda c, t: clouded_logits.agcl(c, t, [4, 3, 2, 1], generator=seeded()),
        LOGITS.tanh(),
        LABELS,
    ),
    "temperatures": (seli.temperatures, COUNTS, 0.5),
    "multipliers": (seli.multipliers, COUNTS, COUNTS**0.3, "cdt"),
    "grams": (seli.predicted_grams, COUNTS, COUNTS**0.3, "ldt"),
    "SEL": (seli.sel_matrix, COUNTS**0.3, "cdt"),
    "blocks": (seli.blocks, GRAM, COUNTS < 15),
    "step counts": (seli.step_counts, 2, 2, COUNTS),
    "step counts, minority": (seli.step_counts, 2, 2, 10, COUNTS),
    "step blocks": (seli.step_blocks, 2, 2, COUNTS, 0.5, "cdt"),
    "UFM losses": (loss_of(CONFIGS), COUNTS),
    "UFM": (
        lambda n: ufm.train_ufm(n, CONFIGS, steps=20, checks=3).grams,
        COUNTS,
    ),
    "ridge": (
        lambda n: ridge.ridge_grams(n, ufm.Config(), [1e-2, 1e-3]),
        COUNTS,
    ),
    "scorer": (probed, images(12, 4), LABELS),
    "batches": (batches, LABELS),
    "crops": (
        lambda x: paper_size.crop_and_flip(x, seeded(), pad=2),
        images(3, 8, 8).flatten(0, 1).unsqueeze(1),
    ),
    "corrupted glyphs": (
        lambda x: glyph_corruption.corrupt(x, level="target", generator=seeded()),
        (255 * images(2, 32, 32).flatten(0, 1)).byte(),
    ),
    "crowded glyphs": (
        lambda x: glyphs.crowded(x, seeded()),
        (255 * images(2, 32, 32).flatten(0, 1)).byte(),
    ),
    "jittered glyphs": (
        lambda x: glyph_corruption.jitter(x, seeded()),
        images(2, 32, 32).flatten(0, 1).unsqueeze(1),
    ),
}
CALLS |= {
    f"rule {rule}": (
        lambda x, rule=rule: (
            risk.example_weights(x, rule, **RULES[rule]),
            risk.objective(x, rule, **RULES[rule]),
        ),
        LOGITS.exp(),
    )
    for rule in RULES
}
CALLS |= {f"loss {k}": (logit_adjusted(k), LOGITS, LABELS, COUNTS) for k in KNOBS}
CALLS |= {
    f"ensemble of {name}": (
        trained(name),
        draw(2, 10, *shape, dtype=torch.float32),
        LABELS.repeat(2)[:20].view(2, 10) % n_classes,
        LABELS.repeat(2)[:20].view(2, 10),
    )
    for name, shape, n_classes in (("plane", (2,), 2), ("mlp", (14, 14), 4))
}


@pytest.mark.parametrize("name", CALLS)
def test_as_on_the_cpu(name):
    function, *given = CALLS[name]
    expected, found = (tensors(function(*to(d, given))) for d in ("cpu", second.NAME))
    assert expected
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        assert ours.device.type == second.NAME
        # The kernels are the same; memory that lies elsewhere may be summed otherwise.
        torch.testing.assert_close(ours.cpu(), theirs, equal_nan=True)


def test_a_generators_device_is_where_data_is_drawn():
    settings = dict(n_sets=2, n=20, d=3, prior=0.2, snr=1.0)
    drawn = [
        simulation.draw(generator=torch.Generator(d).manual_seed(1), **settings)
        for d in ("cpu", second.NAME)
    ]
    assert drawn[1].X.device.type == second.NAME
    assert torch.equal(drawn[0].X, drawn[1].X.cpu())


# What the device is for: CUDA's refusals, and no others.

HERE, THERE = torch.ones(3), torch.ones(3, device=second.NAME)
MIXED = {
    "sum": lambda: HERE + THERE,
    "in place": lambda: THERE.mul_(HERE),
    "stack": lambda: torch.stack([THERE, HERE]),
    "stack of numbers": lambda: torch.stack([THERE[0], HERE[0]]),
    "where": lambda: torch.where(THERE > 0, THERE, HERE),
    "product": lambda: THERE @ HERE,
    "out": lambda: torch.add(THERE, THERE, out=HERE),
    "written number": lambda: HERE[0].add_(THERE[0]),
    "solve": lambda: torch.linalg.solve(torch.eye(3, device=second.NAME), HERE),
    "index of the CPU": lambda: HERE[THERE.long()],
    "rows": lambda: THERE.index_select(0, HERE.long()),
    "value": lambda: THERE.index_put_((HERE.long(),), HERE),
    "numpy": lambda: THERE.numpy(),
    "generator": lambda: torch.randn(3, generator=seeded(), device=second.NAME),
    "permutation": lambda: torch.randperm(3, generator=seeded(), device=second.NAME),
    "generator of the device": lambda: torch.randn(
        3, generator=torch.Generator(second.NAME)
    ),
    "loss": lambda: torch.nn.functional.cross_entropy(THERE[None], HERE[:1].long()),
    "layer": lambda: torch.nn.Linear(3, 2)(THERE),
}
ALLOWED = {
    "number": (lambda: THERE + HERE[0], [2, 2, 2]),
    "index of the device": (lambda: THERE[HERE.long()], [1, 1, 1]),
    "copy": (lambda: torch.zeros_like(THERE).copy_(HERE), [1, 1, 1]),
    "where": (lambda: torch.where(THERE > 1, THERE, 2 * HERE[0]), [2, 2, 2]),
}


@pytest.mark.parametrize("name", MIXED)
def test_mixed_devices_are_refused(name):
    refusal = "same device|device type|indexed tensor|device\\(\\)"
    with pytest.raises((RuntimeError, TypeError), match=refusal):
        MIXED[name]()


@pytest.mark.parametrize("name", ALLOWED)
def test_what_cuda_allows_is_allowed(name):
    call, expected = ALLOWED[name]
    assert call().device.type == second.NAME
    assert call().tolist() == expected


def test_views_share_memory_and_an_out_grows():
    base = torch.arange(6.0, device=second.NAME)
    base.view(2, 3)[:, 1].mul_(10)
    assert base.tolist() == [0, 10, 2, 3, 40, 5]
    out = torch.empty(0, device=second.NAME)
    torch.add(base, 1, out=out)
    assert out.tolist() == [1, 11, 3, 4, 41, 6]
    kept = torch.empty(2, 3, device=second.NAME).T
    assert kept.resize_(3, 2).stride() == (1, 3)  # the same size keeps its strides


def test_a_layer_learns_as_on_the_cpu():
    models = []
    for device in ("cpu", second.NAME):
        torch.manual_seed(0)
        layers = torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.ReLU()
        model = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(72, 4))
        models.append(model.to(device))
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        x, target = draw(12, 1, 8, 8, dtype=torch.float32), LABELS
        for _ in range(3):
            z = model(x.to(device))
            loss = torch.nn.functional.cross_entropy(z, target.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    # Running statistics are written by a kernel that does not declare it.
    ours, theirs = (model.cpu().state_dict() for model in models)
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name])


@pytest.mark.parametrize("network", chapter5.SHAPES)
def test_a_network_at_paper_size_is_that_of_the_cpu(monkeypatch, tmp_path, network):
    shape = chapter5.SHAPES[network]
    images = draw(200, *shape, dtype=torch.float32), torch.arange(200) % 10
    monkeypatch.setattr(chapter5, "load", lambda *_, **__: images)
    sizes = dict(n_major=12, epochs=4, batch=16, width=8, depth=2, checks=2)
    if network == "resnet18":  # chaotic: rounding grows tenfold an epoch
        sizes |= dict(n_major=4, epochs=1, checks=1)
    setting = (chapter5.Recipe(network=network, **sizes), 4, "cdt", 0.5, 0, "data")
    ours, theirs = (
        chapter5.train(*setting, str(tmp_path / device), device)
        for device in ("cpu", second.NAME)
    )
    for name in ("W", "H", "tracked"):
        assert theirs[name].keys() == ours[name].keys()
        for key, value in ours[name].items():
            assert theirs[name][key] == pytest.approx(value, rel=1e-3, abs=1e-4)


def test_birds_at_paper_size_are_those_of_the_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(waterbirds, "COUNTS", tiny_birds.COUNTS)
    tiny_birds.write(tmp_path)
    sizes = dict(network="resnet18", weights=None, side=32, epochs=1, batch=20)
    ours, theirs = (
        chapter2.train(
            chapter2.Recipe(**sizes), 0, str(tmp_path), str(tmp_path / device), device
        )
        for device in ("cpu", second.NAME)
    )
    assert theirs["losses"] == pytest.approx(ours["losses"], rel=1e-3)
    for name in chapter2.METHODS:
        assert theirs[name]["groups"] == pytest.approx(ours[name]["groups"], abs=0.2)


@pytest.fixture
def small_cifar(monkeypatch, tmp_path):
    tiny_cifar.serve(monkeypatch, n_train=1000)
    cifar.prepare(tmp_path, download=True, kind="cifar10")
    return str(tmp_path)


def test_pairs_at_paper_size_are_those_of_the_cpu(small_cifar, tmp_path):
    sizes = dict(network="resnet18", weights=None, side=32, width=8, epochs=1, held=30)
    ours, theirs = (
        chapter1.train(
            chapter1.Recipe(**sizes), 0, small_cifar, str(tmp_path / device), device
        )
        for device in ("cpu", second.NAME)
    )
    assert theirs["losses"] == pytest.approx(ours["losses"], rel=1e-3)
    for name, sweep in ours["curves"]["20"]["sweeps"].items():
        found = torch.tensor(theirs["curves"]["20"]["sweeps"][name])
        # Ten images a class: a score near zero may fall on the other side.
        torch.testing.assert_close(found, torch.tensor(sweep), atol=0.1, rtol=0)


def test_noise_at_paper_size_is_that_of_the_cpu(small_cifar, tmp_path):
    recipe = chapter3.Recipe(n_train=300, epochs=1)
    for method in (chapter3.FAMILIES["COCE"][0], chapter3.FAMILIES["SharpDRO"][0]):
        ours, theirs = (
            chapter3.train(
                recipe, method, 0, small_cifar, str(tmp_path / device), device
            )
            for device in ("cpu", second.NAME)
        )
        assert theirs["norm"] == pytest.approx(ours["norm"], rel=1e-5)
        assert theirs["val"]["loss"] == pytest.approx(ours["val"]["loss"], rel=1e-4)
        for found, wanted in zip(theirs["test"], ours["test"]):
            assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("kind", "parts"), [("cifar100", paper_size.PARTS), ("places", ("experts",))]
)
def test_experts_at_paper_size_are_those_of_the_cpu(monkeypatch, tmp_path, kind, parts):
    tiny_paper.use(monkeypatch)
    tiny_longtails.write("places", tmp_path, monkeypatch)
    monkeypatch.setattr(cifar, "draw", lambda *_, **__: tiny_paper.task())
    recipe, weights = tiny_paper.SmallPlan(), chapter4.large.IN21K
    ours, theirs = (
        chapter4.train(
            *(recipe, kind, parts, 0, weights, True),
            *(str(tmp_path), str(tmp_path / device), device),
        )
        for device in ("cpu", second.NAME)
    )
    assert [row["method"] for row in theirs] == [row["method"] for row in ours]
    for found, wanted in zip(theirs, ours):
        # Twenty test images, five a class: one near the border may change sides.
        for name in ("all", "many", "medium", "few"):
            assert found[name] == pytest.approx(wanted[name], abs=0.2)


def test_the_fault_of_chapter_5_is_caught(monkeypatch):
    # A config's numbers were left on the CPU, beside computed ones on the device.
    made = torch.as_tensor

    def forgetful(value, dtype=None, device=None):
        return made(value, dtype=dtype)

    monkeypatch.setattr(torch, "as_tensor", forgetful)
    ufm.Loss(COUNTS.expand(4, -1), CONFIGS)
    with pytest.raises(RuntimeError, match="same device"):
        ufm.Loss(COUNTS.to(second.NAME).expand(4, -1), CONFIGS)
