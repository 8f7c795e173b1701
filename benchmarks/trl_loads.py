"""Whether what `heed prefs export` writes loads in TRL's trainers, and trains for two steps there.

    python -m benchmarks.trl_loads [--env DIR]

Heed does not depend on TRL: an environment of TRL's own is made under DIR (the user's cache by
default), once. A store is filled with grades, rankings, ties and rewrites on prompts of one turn,
of several, and with a system prompt; every format that TRL knows is exported as every kind of
table; and TRL's trainers take each of them on a tiny Llama. CSV has no lists, so that only plain
texts go by it. Exit code 1 where a trainer refuses a table that it should take.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

KINDS = (".jsonl", ".jsonl.gz", ".json", ".csv", ".parquet", "")
TRAINERS = {
    "trl": ("reward", "dpo"),
    "trl-plain": ("reward", "dpo"),
    "hh": ("reward", "dpo"),
    "unpaired": ("kto",),
    "demonstrations": ("sft",),
}
"""Whose format it is, by what Heed calls it."""
OF_LISTS = ("trl", "unpaired", "demonstrations")
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|> {{ message['content'] }} </s> "
    "{% endfor %}{% if add_generation_prompt %}<|assistant|> {% endif %}"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", type=Path, help="where TRL's environment is made")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside is not None:
        sys.exit(train_all(given.inside))
    with tempfile.TemporaryDirectory() as folder:
        export_all(Path(folder))
        from benchmarks.peers import environment  # the peer's Python does not need it

        python = environment("trl", given.env)
        said = subprocess.run([str(python), __file__, "--inside", folder], check=False)
    sys.exit(said.returncode)


def export_all(folder: Path) -> None:
    """Every format as every kind of table, as `heed prefs export` writes them."""
    from heed.feedback.exporting import export_project
    from heed.feedback.importing import import_file
    from heed.store.database import Store

    rows = folder / "labels.jsonl"
    rows.write_text("".join(f"{json.dumps(row)}\n" for row in labelled()))
    store = Store.open(folder / "store.db")
    try:
        import_file(store, "p", rows)
        for format in TRAINERS:
            for kind in KINDS:
                path = folder / f"{format}{kind}"
                export_project(store, "p", path, format=format, split="all")
    finally:
        store.close()


def labelled() -> list[dict[str, Any]]:
    """Items with what was said of them, in Heed's own form."""
    verdicts = (1, 2, 7, 8, 4, "tie", [1, 2], "both_bad")
    rows = []
    for number in range(24):
        turns = [{"role": "user", "content": f"question {number} ?"}]
        if number % 3 == 1:
            earlier = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
            turns = [*earlier, *turns]
        if number % 6 == 5:
            turns = [{"role": "system", "content": "be brief"}, *turns]
        verdict = verdicts[number % len(verdicts)]
        split = "heldout" if number % 5 == 4 else "train"
        prompt = {"id": f"p{number}", "messages": turns, "family": "f", "split": split}
        item = {"id": f"i{number}", "prompt": prompt, "answers": [f"yes {number}", "no it is not"]}
        said = {"annotator": "ann", "verdict": verdict, "source": "people"}
        rows.append({"item": item, "annotations": [{**said, "rewrite": f"so {number}"}]})
    return rows


def train_all(folder: Path) -> int:
    """Give every table to its trainers; prints a line each, and how many were refused."""
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    os.environ["HF_HUB_OFFLINE"] = "1"
    from importlib.metadata import version

    print(f"TRL {version('trl')}, transformers {version('transformers')}, Python "
          f"{sys.version.split()[0]}")  # fmt: skip
    refused = 0
    for format, trainers in TRAINERS.items():
        for kind in KINDS:
            for name in trainers:
                table = folder / f"{format}{kind}"
                said = _tried(name, table)
                as_text = kind == ".csv" and format in OF_LISTS
                refused += "refused" in said and not as_text
                what = f"{format} as {kind or 'a saved data set'}"
                more = " (lists of messages have become texts)" if as_text else ""
                print(f"{what:<34} {name:<7} {said}{more}", flush=True)
    print("All that should load loads." if not refused else f"{refused} refused.")
    return int(refused > 0)


def _tried(name: str, table: Path) -> str:
    try:
        rows = read(table)
        loss = train(name, rows)
    except Exception as error:  # what a trainer raises is its own affair
        return f"refused: {' '.join(str(error).split())[:110]}"
    return f"{len(rows)} rows, two steps, loss {loss:.3f}"


def read(table: Path) -> Any:
    """The table as `datasets` reads it."""
    import datasets

    datasets.disable_progress_bars()
    if table.is_dir():
        return datasets.load_from_disk(str(table))
    kind = {".csv": "csv", ".parquet": "parquet"}.get(table.suffix, "json")
    cache = str(table.parent / "cache")
    return datasets.load_dataset(kind, data_files=str(table), split="train", cache_dir=cache)


def train(name: str, rows: Any) -> float:
    """The mean loss of two steps."""
    import trl
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification
    from transformers.trainer_callback import PrinterCallback
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    makers = {
        "reward": (trl.RewardTrainer, trl.RewardConfig),
        "dpo": (trl.DPOTrainer, trl.DPOConfig),
        "kto": (trl.KTOTrainer, trl.KTOConfig),
        "sft": (trl.SFTTrainer, trl.SFTConfig),
    }
    words = tokenizer()
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=24, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=128, pad_token_id=words.pad_token_id,
        bos_token_id=None, eos_token_id=words.eos_token_id, num_labels=1,
    )  # fmt: skip
    kind = LlamaForSequenceClassification if name == "reward" else LlamaForCausalLM
    trainer, settings = makers[name]
    with tempfile.TemporaryDirectory() as out:
        kind(config).save_pretrained(f"{out}/model")  # the reference is loaded from the same place
        model = kind.from_pretrained(f"{out}/model")
        given = settings(
            output_dir=out, max_steps=2, per_device_train_batch_size=4, use_cpu=True, bf16=False,
            gradient_checkpointing=False, report_to="none", disable_tqdm=True, save_strategy="no",
            logging_strategy="no",
        )  # fmt: skip
        made = trainer(model=model, args=given, train_dataset=rows, processing_class=words)
        made.remove_callback(PrinterCallback)
        return float(made.train().training_loss)


def tokenizer() -> Any:
    """Words by number, with a chat template."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    roles = [f"<|{role}|>" for role in ("system", "user", "assistant")]
    text = "question yes no it is not so hello hi be brief Human: Assistant:"
    words = ["<pad>", "</s>", "?", *roles, *text.split(), *map(str, range(24))]
    backend = Tokenizer(WordLevel({word: at for at, word in enumerate(words)}, unk_token="?"))
    backend.pre_tokenizer = WhitespaceSplit()
    made = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="?"
    )
    made.chat_template = TEMPLATE
    return made


if __name__ == "__main__":
    main()
