"""Inputs in which something is wrong, made by a seed: files of rows, recipes, overrides.

What comes of a change need not be unusable (a blank line is not); but it is never to end in a
traceback, in a change of the input, or half done.
"""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TURNS = [{"role": "user", "content": "Which one?"}, {"role": "assistant", "content": "This."}]
ROWS: dict[str, list[dict[str, Any]]] = {
    "plain": [{"prompt": f"Which {n}?", "chosen": f"This {n}.", "rejected": "That."}
              for n in range(6)],
    "transcripts": [{"chosen": f"\n\nHuman: Which {n}?\n\nAssistant: This.",
                     "rejected": f"\n\nHuman: Which {n}?\n\nAssistant: That."} for n in range(6)],
    "messages": [{"chosen": TURNS, "rejected": [TURNS[0], {**TURNS[1], "content": f"No {n}."}]}
                 for n in range(6)],
    "labels": [{"prompt": f"Which {n}?", "completion": "This.", "label": n % 2 == 0}
               for n in range(6)],
    "demonstrations": [{"messages": [*TURNS, *TURNS]}, {"prompt": "Which?", "completion": "This."}],
    "answers": [{"prompt": f"Which {n}?", "answers": ["this", "that", "none"]} for n in range(6)],
    "votes": [{"left": "a", "right": "b", "prompt": f"p{n}", "win": 1.0} for n in range(6)],
    "alpaca": [{"instruction": f"Which {n}?", "output_1": "this", "output_2": "that",
                "generator_1": "a", "generator_2": "b", "preference": 1.5} for n in range(6)],
    "fields": [{"fields": {"prompt": "Which?", "a": "this", "b": "that"},
                "responses": [{"values": {"best": {"value": "a"}}, "user_id": "u"}]}] * 3,
}  # fmt: skip
VALUES: list[Any] = [
    None, True, 0, -1.5, 10**400, "", " ", "a\0b", "\ud800", [], {}, [[]], ["a", 1], {"a": 1},
    [{"role": "user"}], [{"role": "nobody", "content": "x"}], [{"content": "x"}],
    [{"role": "user", "content": None}], [None], "x" * 5000, "\u202e\u0007",
    {"value": {"value": 1}},
]  # fmt: skip
LINES: list[bytes] = [
    b"{", b"}", b"[]", b"null", b"3", b'"text"', b"{}", b"\xff\xfe", b"\x00", b"{'a': 1}", b"NaN",
    b'{"prompt":', b"[" * 5000, b'{"a":' * 3000, b'{"prompt": "a", "prompt": "b"}', b"<row/>",
    b'{"prompt": NaN}', b'{"chosen": -Infinity}', b'{"prompt": "\\ud800"}', b'{"prompt": "\xc3"}',
    b"prompt,chosen,rejected", b"--- a: b", b'{"prompt": 9' + b"9" * 5000 + b"}",
]  # fmt: skip


@dataclass(frozen=True)
class Malformed:
    """A file's name and content, or words for the command line; what was done to it."""

    what: str
    name: str = ""
    content: bytes = b""
    words: tuple[str, ...] = ()
    of_lines: bool = False
    """Whether one line alone was spoiled, so that a message has to name one."""


def _lines(rows: list[dict[str, Any]]) -> list[bytes]:
    # Lone surrogates stay escaped, as any writer of ASCII JSON leaves them.
    return [json.dumps(row).encode() for row in rows]


def spoiled_value(draw: random.Random) -> Malformed:
    """One value of one row is of another kind, or gone."""
    kind = draw.choice(list(ROWS))
    rows = json.loads(json.dumps(ROWS[kind]))
    row = draw.choice(rows)
    key = draw.choice(list(row))
    if draw.random() < 0.25:
        del row[key]
    else:
        row[key] = draw.choice(VALUES)
    return Malformed(f"{kind}: a value", f"{kind}.jsonl", b"\n".join(_lines(rows)) + b"\n")


def spoiled_line(draw: random.Random) -> Malformed:
    """One line is no row."""
    kind = draw.choice(list(ROWS))
    lines = _lines(ROWS[kind])
    at, line = draw.randrange(len(lines)), draw.choice(LINES)
    lines[at] = line
    another = at == 0 and line[:2] == b"\xff\xfe"  # the mark of UTF-16: no line is at fault
    what = f"{kind}: line {line[:12]!r}"
    return Malformed(what, f"{kind}.jsonl", b"\n".join(lines) + b"\n", of_lines=not another)


def spoiled_bytes(draw: random.Random) -> Malformed:
    """The file is cut, has a byte flipped, or is something else altogether."""
    kind = draw.choice(list(ROWS))
    whole = b"\n".join(_lines(ROWS[kind])) + b"\n"
    at = draw.randrange(1, len(whole) - 2)
    ways: dict[str, bytes] = {
        "cut": whole[:at],
        "a byte": whole[:at] + bytes([draw.randrange(256)]) + whole[at + 1 :],
        "empty": b"",
        "blank": b"\n \r\n\t\n",
        "utf-16": whole.decode().encode("utf-16"),
        "a mark": b"\xef\xbb\xbf" + whole,
        "random": draw.randbytes(200),
        "an array cut": b"[" + b",".join(_lines(ROWS[kind])),
        "one line": b"".join(_lines(ROWS[kind])),
        "reversed": whole[::-1],
    }
    what = draw.choice(list(ways))
    return Malformed(f"{kind}: {what}", f"{kind}.jsonl", ways[what])


def spoiled_gzip(draw: random.Random) -> Malformed:
    """A gz file that is cut, damaged, or none."""
    kind = draw.choice(list(ROWS))
    plain = b"\n".join(_lines(ROWS[kind])) + b"\n"
    whole = gzip.compress(plain)
    at = draw.randrange(10, len(whole) - 1)
    ways = {
        "cut": whole[:at],
        "a byte": whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :],
        "none": plain,
        "empty": b"",
        "twice": gzip.compress(whole),
        "a tail": whole + b"tail",
    }
    what = draw.choice(list(ways))
    return Malformed(f"{kind}.gz: {what}", f"{kind}.jsonl.gz", ways[what])


def spoiled_csv(draw: random.Random) -> Malformed:
    """A table with ragged rows, a broken head, open quotes."""
    tables = {
        "empty": b"",
        "no rows": b"prompt,chosen,rejected\n",
        "no head": b"Which?,this,that\nWhat?,a,b\n",
        "ragged": b"prompt,chosen,rejected\na,b,c\na,b\n",
        "too long": b"prompt,chosen,rejected\na,b,c,d,e\n",
        "open quote": b'prompt,chosen,rejected\n"a,b,c\nd,e,f\n',
        "semicolons": b"prompt;chosen;rejected\na;b;c\n",
        "a column twice": b"prompt,chosen,chosen\na,b,c\n",
        "a NUL": b"prompt,chosen,rejected\na,\0,c\n",
        "latin-1": "prompt,chosen,rejected\na,é,c\n".encode("latin-1"),
        "empty cells": b"prompt,chosen,rejected\n,,\n",
        "a missing column": b"prompt,chosen\na,b\n",
        "a label that is none": b"prompt,completion,label\na,b,perhaps\n",
        "random": draw.randbytes(100),
        "huge cell": b"prompt,chosen,rejected\n" + b"a" * 200_000 + b",b,c\nd,e\n",
    }
    what = draw.choice(list(tables))
    return Malformed(f"csv: {what}", "table.csv", tables[what])


def spoiled_parquet(draw: random.Random) -> Malformed:
    """A Parquet file that is cut, damaged, none, or of other columns."""
    import pyarrow
    import pyarrow.parquet

    def table(columns: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(columns), out)
        return out.getvalue()

    good = {"prompt": ["a", "b"], "chosen": ["c", "d"], "rejected": ["e", "f"]}
    whole = table(good)
    at = draw.randrange(8, len(whole) - 9)
    ways = {
        "cut": whole[:at],
        "a byte": whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :],
        "none": b"PAR1" + draw.randbytes(64) + b"PAR1",
        "empty": b"",
        "no rows": table({name: pyarrow.array([], pyarrow.string()) for name in good}),
        "no columns": table({}),
        "a column less": table({"prompt": ["a"], "chosen": ["b"]}),
        "numbers": table({"prompt": [1], "chosen": [2], "rejected": [3]}),
        "nulls": table({**good, "chosen": ["c", None]}),
        "lists": table({**good, "rejected": [["e"], ["f"]]}),
        "bytes": table({**good, "chosen": [b"\xff", b"a"]}),
    }
    what = draw.choice(list(ways))
    return Malformed(f"parquet: {what}", "table.parquet", ways[what])


RECIPE = """\
name: mine
description: To be spoiled.
seed: 3
threads: 1
stages:
  - records: {corpus: 200, demonstrations: 40}
  - pretrain:
      architecture: {model_type: llama, hidden_size: 32}
      optim: {lr: 1e-3, betas: [0.9, 0.95]}
  - sft: {epochs: 1.5, keep: best, lora: {rank: 4}}
  - collect: {policies: [sft], comparisons: 40}
  - reward: {loss: bradley_terry}
  - ppo: {kl: {coef: 0.1}, iterations: 4}
"""
YAML: list[str] = [
    "", "[]", "3", "name", "name: mine\n", "- a\n- b\n", "a: b: c", "{", "name: [", "\t", "? a\n",
    "name: &a [*a]\nstages: []\n", "name: !!python/object/apply:os.system [ls]\n",
    "a: 1\n---\nb: 2",
    "name: mine\nname: other\nstages: []\n", "name: mine\nstages: {}\n", "name: mine\nstages: 3\n",
    "name: mine\nstages: [records]\n", "name: mine\nstages: [3]\n", "name: mine\nstages: [[]]\n",
    "name: mine\nstages: [{records: {}, sft: {}}]\n", "name: mine\nstages: [{sfd: {}}]\n",
    "name: mine\nstages: [{sft: {}}]\n", "name: mine\nstages: [{records: 3}]\n",
    "name: ../../etc\nstages: []\n", "1: 2\nname: mine\nstages: []\n", "name: mine\nseed: .nan\n",
    "name: mine\nstages: [{records: {}}, {records: {}}]\n", "name: mine\nseed: 1e400\n",
    "name: mine\nseed: 99999999999999999999999\nstages: [{records: {name: 'a/b'}}]\n",
    "name: mine\nstages: [{records: {name: report.html}}]\n", "name: 2026-01-01\nstages: []\n",
    "name: mine\nrounds: 3\n", "name: mine\nstages: [{rounds: {times: -1, stages: []}}]\n",
    "name: mine\nstages: [{records: {corpus: 0x1F}}, {records: {name: b, corpus: 1_0}}]\n",
    "name: mine\ndata: [nowhere.jsonl]\nstages: [{records: {}}]\n", "name: mine\ndata: {}\n",
    "name: mine\ngates: {sign: {action: stop}}\n", "name: mine\ngates: 3\n", "%YAML 9.9\n--- a\n",
    "name: mine\nstages: [{records: {}}, {ppo: {}}]\n", "name: mine\nworld: {families: []}\n",
]  # fmt: skip


def spoiled_recipe(draw: random.Random) -> Malformed:
    """Another text, or the good one with characters deleted, doubled or replaced."""
    if draw.random() < 0.5:
        text = draw.choice(YAML)
        return Malformed(f"recipe: {text[:30]!r}", "mine.yaml", text.encode())
    content = bytearray(RECIPE.encode())
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(content))
        change = draw.choice(["delete", "double", "replace"])
        if change == "delete":
            del content[at : at + draw.randint(1, 8)]
        elif change == "double":
            content[at:at] = content[at : at + draw.randint(1, 8)]
        else:
            content[at] = draw.choice(b"\x00\t:{}[]&*!|>'\"%@`#,\xff?-a9 \n")
    return Malformed("recipe: characters", "mine.yaml", bytes(content))


def spoiled_override(draw: random.Random) -> Malformed:
    """An override of the good recipe: nonsense, or a key and a value that do not suit."""
    keys = ["seed", "name", "sft", "sft.epochs", "ppo.kl", "ppo.kl.coef", "stages", "sft.nothing",
            "pretrain.optim", "collect.policies", "sft.lora", "gates", "gates.sign.action", "world",
            "data", "model", "sft.name", "reward.loss", "records.corpus", "nothing", "", ".",
            "ppo."]  # fmt: skip
    values = ["", "{", "}", "[", "nan", "-1", "1e999", "[1, 2", "{a: b}", "~", "null", "'", "&a *a",
              "!!python/none x", "\t", "0", "true", "a: b", "x" * 300, "\u202e", "[[]]", "-", "*",
              "[sft, sft]", "../../x"]  # fmt: skip
    if draw.random() < 0.2:
        letters = "abc.=[]{}:,\"'#&*!|>%@ 019\t\n"
        words = ("".join(draw.choice(letters) for _ in range(draw.randint(0, 12))),)
    else:
        words = (f"{draw.choice(keys)}={draw.choice(values)}",)
    return Malformed(f"--set {words[0][:40]!r}", "mine.yaml", RECIPE.encode(), words)


OF_ROWS: list[Callable[[random.Random], Malformed]] = [
    spoiled_value, spoiled_value, spoiled_line, spoiled_line, spoiled_bytes, spoiled_gzip,
    spoiled_csv, spoiled_parquet,
]  # fmt: skip
OF_RECIPES: list[Callable[[random.Random], Malformed]] = [spoiled_recipe, spoiled_override]
