from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heed.ops.batch import Answers, Batch, Pairs, Rollout, Sequences, in_parts, joined, laid_out

ITEMS = [([5, 6], [7, 8, 2]), ([5], [2]), ([5, 6, 7, 8], [9, 9, 9, 9, 2]), ([4], [3, 2])]


def sequences() -> Sequences:
    return Sequences.of(ITEMS, pad=0)


def pairs() -> Pairs:
    chosen = sequences()
    rejected = Sequences.of([(prompt, [2]) for prompt, _ in ITEMS], pad=0)
    numbers = torch.arange(4.0)
    return Pairs(chosen, rejected, numbers, numbers + 1, -numbers, -2 * numbers)


def answers() -> Answers:
    side, other = sequences(), Sequences.of([(prompt, [2]) for prompt, _ in ITEMS], pad=0)
    numbers = torch.arange(4.0)
    good = torch.tensor([False, True, False, False])
    return Answers(side, other, good, numbers + 1, -numbers, -2 * numbers, numbers)


def rollout() -> Rollout:
    base = sequences()
    floats = torch.where(base.target, base.ids.float(), 0.0)
    more = [floats, floats - 1, floats + 1, floats + 2, floats + 3]
    return Rollout(base.ids, base.mask, base.target, *more)


def test_sequences_are_padded_on_the_right() -> None:
    batch = Sequences.of(ITEMS[:2], pad=0)
    assert batch.ids.tolist() == [[5, 6, 7, 8, 2], [5, 2, 0, 0, 0]]
    assert batch.mask.int().tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert batch.target.int().tolist() == [[0, 0, 1, 1, 1], [0, 1, 0, 0, 0]]


def test_a_pad_token_inside_a_sequence_is_still_a_token() -> None:
    """Pad == eos must not hide the true end."""
    batch = Sequences.of([([5], [6, 2]), ([5], [2])], pad=2)
    assert batch.mask.int().tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.target.int().tolist() == [[0, 1, 1], [0, 1, 0]]


def test_positions_follow_the_mask() -> None:
    assert Sequences.of(ITEMS[:2], pad=0).positions.tolist() == [[0, 1, 2, 3, 4], [0, 1, 1, 1, 1]]
    left = torch.tensor([[False, False, True, True]])
    assert Sequences(torch.zeros(1, 4).long(), left, left).positions.tolist() == [[0, 0, 0, 1]]


def test_counts() -> None:
    assert sequences().counts() == {"rows": 4, "tokens": 11}
    assert pairs().counts() == {"rows": 4, "weight": 10, "chosen_tokens": 3 + 2 + 3 * 5 + 4 * 2}
    assert answers().counts() == {"rows": 4, "weight": 10, "desirable": 1, "undesirable": 3}
    assert Batch.counts(rollout()) == {"rows": 4}
    assert len(pairs()) == 4


def test_cost_is_what_goes_through_the_model() -> None:
    assert sequences().cost().tolist() == [5, 2, 9, 3]
    assert pairs().cost().tolist() == [5 + 3, 2 + 2, 9 + 5, 3 + 2]
    assert answers().cost().tolist() == [5 + 3, 2 + 2, 9 + 5, 3 + 2]
    assert (
        sequences().room(packed=False).tolist()
        == answers().room(packed=False).tolist()
        == [5, 2, 9, 3]
    )
    assert pairs().room(packed=False).tolist() == [5 + 5, 2 + 2, 9 + 9, 3 + 3]
    assert pairs().room(packed=True).tolist() == pairs().cost().tolist()
    with pytest.raises(NotImplementedError):
        Batch.cost(sequences())


def test_rows_cut_the_padding_of_every_part() -> None:
    two = rollout().rows(torch.tensor([3, 1]))
    assert two.ids.tolist() == [[4, 3, 2], [5, 2, 0]]
    assert two.advantages.tolist() == [[2, 5, 4], [2, 4, 2]]
    one = pairs().rows(torch.tensor([1]))
    assert one.chosen.ids.tolist() == one.rejected.ids.tolist() == [[5, 2]]
    assert one.weight.tolist() == [2]


def test_no_rows_at_all() -> None:
    nothing = torch.zeros(0, dtype=torch.long)
    assert len(sequences().rows(nothing)) == 0
    assert list(sequences().rows(nothing).split(8)) == []


def test_shards_share_out_the_rows() -> None:
    shards = [pairs().shard(rank, 3) for rank in range(3)]
    assert [shard.weight.tolist() for shard in shards] == [[3], [1], [2, 4]]  # by tokens


def test_joined_rows_stand_under_one_another() -> None:
    short, long = Sequences.of(ITEMS[1:2], pad=0), Sequences.of(ITEMS[:1], pad=0)
    both = joined(short, long, pad=3)
    assert both.ids.tolist() == [[5, 2, 3, 3, 3], [5, 6, 7, 8, 2]]
    assert both.mask.int().tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    assert both.target.int().tolist() == [[0, 1, 0, 0, 0], [0, 0, 1, 1, 1]]
    assert joined(long, short, pad=3).ids.tolist() == both.ids.flip(0).tolist()


def test_to_moves_every_part() -> None:
    moved = pairs().to("meta")
    assert moved.weight.device.type == moved.chosen.ids.device.type == "meta"


def test_split_takes_the_longest_first_and_a_too_long_row_alone() -> None:
    parts = list(sequences().split(6))
    assert [part.cost().tolist() for part in parts] == [[9], [5], [2, 3]]


lengths = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 9)), min_size=1, max_size=9)


@settings(deadline=None, max_examples=60)
@given(lengths, st.integers(1, 40))
def test_split_keeps_every_row_once_within_its_budget(
    sizes: list[tuple[int, int]], budget: int
) -> None:
    items = [([row + 1] * prompt, [row + 1] * answer) for row, (prompt, answer) in enumerate(sizes)]
    parts = list(Sequences.of(items, pad=0).split(budget))
    seen = [int(row) - 1 for part in parts for row in part.ids[:, 0]]
    assert sorted(seen) == list(range(len(items)))
    for part in parts:
        assert part.ids.numel() <= budget or len(part) == 1
        assert part.ids.shape[1] == int(part.cost().max())
        for ids, mask, target in zip(part.ids, part.mask, part.target, strict=True):
            prompt, answer = items[int(ids[0]) - 1]
            assert ids[mask].tolist() == prompt + answer
            assert ids[target].tolist() == answer
    counts = [part.counts()["tokens"] for part in parts]
    assert sum(counts) == sum(answer for _, answer in sizes)


@pytest.mark.parametrize("tokens", [1, 6, 10**6])
def test_results_in_parts_are_those_of_the_whole(tokens: int) -> None:
    data = sequences()
    assert in_parts(data, tokens, lambda part: part.ids.sum(1) / 1).tolist() == (
        data.ids.sum(1).tolist()
    )
    every = in_parts(data, tokens, lambda part: torch.where(part.target, part.ids, 0) / 1)
    assert every.tolist() == torch.where(data.target, data.ids, 0).tolist()


def test_no_rows_have_no_results() -> None:
    nothing = sequences().rows(torch.arange(0))
    with pytest.raises(ValueError, match="without rows"):
        in_parts(nothing, 10, lambda part: part.ids.sum(1))


def test_marked_rows_say_of_every_token_whether_it_is_a_target() -> None:
    batch = Sequences.marked([([5, 6, 7], [False, True, False]), ([5], [False])], pad=0)
    assert batch.ids.tolist() == [[5, 6, 7], [5, 0, 0]]
    assert batch.mask.int().tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.target.int().tolist() == [[0, 1, 0], [0, 0, 0]]


def test_packed_rows_are_the_same_rows_and_share_a_pass_by_their_own_tokens() -> None:
    batch, plain = laid_out(sequences(), True), sequences()  # of 5, 2, 9 and 3 tokens
    together = [index.tolist() for index in plain.partition(11, packed=True)]
    assert together == [[1, 2], [0, 3]]
    padded = laid_out(plain, False)
    apart = [index.tolist() for index in padded.partition(11, packed=True)]
    assert apart == [index.tolist() for index in plain.partition(11)]
    assert batch.counts() == plain.counts()
    assert [index.tolist() for index in batch.partition(11)] == [[1, 2], [0, 3]]
    assert [index.tolist() for index in batch.partition(4)] == [[2], [0], [3], [1]]
    for micro in batch.split(11):
        assert type(micro) is type(batch)
    assert torch.equal(batch.shard(1, 2).ids, plain.shard(1, 2).ids)
    sums = in_parts(batch, 11, lambda part: part.ids.masked_fill(~part.mask, 0).sum(1).float())
    assert sums.tolist() == plain.ids.masked_fill(~plain.mask, 0).sum(1).tolist()


def test_padded_rows_stay_padded_where_others_are_packed() -> None:
    batch = laid_out(sequences(), False)  # of 5, 2, 9 and 3 tokens
    parts = [[2], [0, 3], [1]]  # padded to 9, 5 and 2
    assert [index.tolist() for index in batch.partition(11, packed=True)] == parts
    assert [index.tolist() for index in batch.partition(11)] == parts


def test_packed_pairs_take_the_room_of_their_own_tokens() -> None:
    assert pairs().room(packed=True).tolist() == [5 + 3, 2 + 2, 9 + 5, 3 + 2]
    assert [index.tolist() for index in pairs().partition(13, packed=True)] == [[2], [0, 3], [1]]
