"""Two processes that train one network: they give what one gives, within rounding."""

import json

import pytest
import tiny_ranks
import torch

from tailwise.training import ranks


def test_two_processes_give_what_one_gives_and_go_on(tmp_path):
    one = tiny_ranks.trained(tmp_path / "one")
    said = tiny_ranks.started([tiny_ranks.__file__, str(tmp_path / "two")])
    assert said[0] == said[1]
    # Sums in another order: a few units of the last of 24 bits, in 12 steps.
    for mine, theirs in zip(one, json.loads(said[0])):
        assert theirs == pytest.approx(mine, rel=1e-4, abs=1e-5)
    # What they kept, one process goes on with.
    assert tiny_ranks.trained(tmp_path / "two")[0] == json.loads(said[0])[0]


def test_alone_nothing_changes():
    rows, model = torch.arange(5), tiny_ranks.network()
    assert ranks.share(rows) is rows
    assert ranks.shared(model) is model
    assert ranks.whole(rows, 9) is rows
    with ranks.joined("cpu"):
        assert ranks.first()
        assert not ranks.together()


def test_a_batch_too_small_to_share_is_named(monkeypatch):
    monkeypatch.setattr(ranks.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(ranks.dist, "get_world_size", lambda: 4)
    monkeypatch.setattr(ranks.dist, "get_rank", lambda: 1)
    assert ranks.share(torch.arange(9)).tolist() == [1, 5]
    with pytest.raises(ValueError, match="a batch has 3 images: expected one at least"):
        ranks.share(torch.arange(3))
