from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heed.ops.order import Order

sizes = st.integers(1, 9)


def drawn(order: Order, steps: int) -> list[int]:
    return torch.cat([order.indices(step) for step in range(steps)]).tolist()


@settings(deadline=None, max_examples=60)
@given(sizes, st.integers(1, 20), st.integers(0, 2**63 - 1))
def test_every_row_is_drawn_once_an_epoch(rows: int, batch: int, seed: int) -> None:
    epochs = 3
    seen = drawn(Order(rows, batch, seed), -(-epochs * rows // batch))
    for epoch in range(epochs):
        assert sorted(seen[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


def test_a_batch_depends_on_nothing_but_seed_and_step() -> None:
    fresh = Order(50, 8, seed=1)
    drawn(fresh, 5)
    assert fresh.indices(7).tolist() == Order(50, 8, seed=1).indices(7).tolist()
    assert fresh.indices(7).tolist() != Order(50, 8, seed=2).indices(7).tolist()


def test_epochs_are_shuffled_anew() -> None:
    seen = drawn(Order(50, 50, seed=0), 2)
    assert seen[:50] != seen[50:]
    assert seen[:50] != list(range(50))


def test_steps() -> None:
    assert Order(rows=10, batch=4, seed=0).steps(2.0) == 5
    assert Order(rows=10, batch=4, seed=0).steps(0.5) == 1
    assert Order(rows=1, batch=64, seed=0).steps(1.0) == 1
