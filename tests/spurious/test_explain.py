"""Maps and edits: what they measure is known where the input is made by hand."""

import pytest
import torch

from tailwise.spurious import explain


def test_the_mean_of_the_evidence_is_the_score():
    g = torch.Generator().manual_seed(0)
    maps, coef = torch.randn(5, 7, 4, 4, generator=g), torch.randn(7, generator=g)
    score = maps.mean((-2, -1)) @ coef
    for_one = explain.class_activation_map(maps, coef, torch.ones(5))
    for_zero = explain.class_activation_map(maps, coef, torch.zeros(5))
    torch.testing.assert_close((for_one - for_zero).mean((-2, -1)), score)
    assert (for_one >= 0).all()
    assert (for_zero >= 0).all()


def test_a_flat_map_has_the_share_of_the_area():
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[:, :, :8] = True
    found = explain.map_share(torch.ones(1, 8, 8), mask)
    assert found.share.item() == found.floor.item() == 0.25


def test_a_map_inside_the_mask_has_all_of_it():
    mask = torch.zeros(1, 32, 32, dtype=torch.bool)
    mask[:, 8:16, 8:16] = True
    cam = torch.zeros(1, 8, 8)
    cam[:, 2:4, 2:4] = 3.0
    assert explain.map_share(cam, mask).share.item() == 1.0


def test_empty_maps_and_masks_have_no_share():
    mask = torch.ones(1, 32, 32, dtype=torch.bool)
    assert explain.map_share(torch.zeros(1, 8, 8), mask).share.isnan().all()
    assert explain.map_share(torch.ones(1, 8, 8), ~mask).share.isnan().all()


def test_flips_and_effects():
    scores = torch.tensor([-2.0, -1.0, 1.0, 2.0])
    assert explain.flip_rate(scores, scores) == 0
    assert explain.flip_rate(scores, -scores) == 1
    assert explain.edit_effect(scores, scores + scores.std()).item() == pytest.approx(1)


def test_neurons_answer_to_what_they_were_made_for():
    group = torch.arange(4).repeat(50)
    y, a = group // 2, group % 2
    features = torch.stack([y, a, y + a, 0 * y + torch.arange(200) % 3], 1).double()
    label, attribute = explain.neuron_effects(features, group)
    assert label[0] > 1
    assert abs(attribute[0]) < 1e-9
    assert attribute[1] > 1
    assert abs(label[1]) < 1e-9
    torch.testing.assert_close(label[2], attribute[2])


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"coef \[d\].*\(3,\)"):
        explain.class_activation_map(
            torch.ones(2, 4, 8, 8), torch.ones(3), torch.ones(2)
        )
    with pytest.raises(ValueError, match="group counts are"):
        explain.neuron_effects(torch.ones(4, 2), torch.tensor([0, 1, 2, 2]))
