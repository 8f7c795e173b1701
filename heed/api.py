"""What `import heed` offers: a recipe for a model and preferences, a run, and what came of it.

The parts are those of the command line; a mistake raises `heed.UserError` with the same paragraph.
Nothing here loads torch before something is to be computed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from heed import naming
from heed.config import load_recipe
from heed.data.fields import messages
from heed.data.rows import RowError
from heed.errors import UserError
from heed.files import read_records
from heed.naming import Say, Speaker, load, of_run, policies_of, who
from heed.recipe import Recipe, Sampling
from heed.run import Run
from heed.types import Comparison, Completion, Message, Prompt, RewardFn, Sampler
from heed.upgrade import take_over

if TYPE_CHECKING:
    from heed.aligning import Prepared
    from heed.sampling.streaming import Stream
    from heed.stages.workplace import Workplace

Asked = str | Prompt | Sequence[Mapping[str, str]]
"""A prompt: what a user says, a conversation as `{"role", "content"}` turns, or a `heed.Prompt`."""
Place = str | Path


def prepare(
    model: Place,
    prefs: Place | Sequence[Place],
    *,
    method: str | None = None,
    adapter: Literal["lora", "full"] | None = None,
    overrides: Sequence[str] = (),
    seed: int = 0,
) -> Prepared:
    """Look at preferences and choose a recipe that aligns a model with them; trains nothing.

    Args:
        model: a model's directory or hub name, RUN:STAGE, or a run (its last policy).
        prefs: a file, a directory or a data set's name, or several.
        method: dpo, kto, ppo, rloo or grpo; chosen by the data and the model where it is None.
        adapter: low-rank adapters or the full weights; chosen by the memory where it is None.
        overrides: settings as the command line's --set takes them, such as "dpo.beta=0.05".
        seed: of the run.

    Returns:
        what was found (`survey`), the `recipe`, its `text` as YAML, and the `reasons` for each
        choice.

    Raises:
        UserError: the model or the data cannot be read, or the data do not suit the method.
    """
    from heed.aligning import prepare as choose

    sources = [prefs] if isinstance(prefs, str | Path) else prefs
    named = who(str(model))
    if named.remote or not named.source:
        raise UserError(f"{model} has no weights here that could be trained.")
    return choose(
        named.source, [str(each) for each in sources],
        method=method, adapter=adapter, overrides=overrides, seed=seed,
    )  # fmt: skip


def run_recipe(
    recipe: Recipe | Place,
    out: Place,
    *,
    overrides: Sequence[str] = (),
    say: Say = lambda _: None,
    keep_finished: bool = False,
) -> OpenRun:
    """Run a recipe to its end, as `heed run` does: finished stages are skipped, an unfinished one
    goes on where it was.

    Args:
        recipe: a recipe, the name of a shipped one, or a YAML file.
        out: the run's directory.
        overrides: settings as --set takes them, where `recipe` is a name or a file.
        say: hears a line about each stage. Bars go to standard error.
        keep_finished: take over what another version of Heed finished under the same settings.

    Raises:
        UserError: the recipe is wrong, a stage cannot work with what it is given, another process
            holds the directory, or another version's run or somebody else's files stand there.
        Interrupted: Ctrl-C, after the iteration under way was saved; the same call goes on.
    """
    if isinstance(recipe, Recipe):
        if overrides:
            raise UserError("Overrides go with a recipe's name or file; this one is made already.")
        chosen = recipe
    else:
        chosen = load_recipe(str(recipe), overrides)
    if chosen.seeds > 1:
        raise UserError(
            f"The recipe {chosen.name!r} asks for {chosen.seeds} seeds, which are runs of their "
            "own: give it to heed run, or set seeds to 1."
        )
    from heed.pipeline import run_recipe as carry_out

    place = Run(chosen, Path(out))
    with place.locked():
        for line in take_over(place, keep_finished=keep_finished):
            say(line)
        carry_out(place, say)
    return OpenRun(place.directory)


def open_run(path: Place) -> OpenRun:
    """A run's directory, finished or not, to read from and to ask.

    Raises:
        UserError: it is none.
    """
    directory = Path(path)
    if not (directory / "recipe.yaml").exists():
        raise UserError(f"{directory} is no run: it holds no recipe.yaml.")
    return OpenRun(directory)


def load_policy(word: Place, *, device: str = "auto") -> Policy:
    """Load who answers: RUN:STAGE, a run (its last policy), a model's directory, a hub name, or an
    OpenAI-compatible address (URL#MODEL).

    Raises:
        UserError: there is no such model, or it does not load.
    """
    return Policy(load(who(str(word)), device=device))


@dataclass(frozen=True)
class OpenRun:
    """A run's directory: its policies, its rewards, its figures, its preferences."""

    path: Path

    @cached_property
    def recipe(self) -> Recipe:
        """What the run carries out, every default filled in."""
        return load_recipe(str(self.path / "recipe.yaml"))

    @property
    def policies(self) -> list[str]:
        """Names of the stages that left a policy."""
        return policies_of(self.path)

    @property
    def rewards(self) -> list[str]:
        """Names of the finished stages that score answers."""
        return [each.name for each in self.recipe.stages
                if each.scores and (self.path / each.name / "done.json").exists()]  # fmt: skip

    def policy(self, stage: str | None = None, *, device: str = "auto") -> Policy:
        """A stage's policy, loaded; without a name the run's last.

        Raises:
            UserError: the run has no such policy.
        """
        named = who(str(self.path)) if stage is None else of_run(self.path, stage)
        return Policy(load(named, device=device))

    def reward(self, stage: str | None = None) -> Reward:
        """What a stage scores answers by, loaded; without a name the last of them.

        Raises:
            UserError: the run has no such reward.
        """
        work = self._workplace
        known = [each.name for each in self.recipe.stages if each.scores]
        if stage is not None and stage not in known:
            raise UserError(
                f"{self.path} has no reward {stage!r}. It has: {', '.join(known) or 'none'}."
            )
        name = stage or naming.reward_stage(work)
        return Reward(name, work.reward(name))

    def figures(self) -> dict[str, Any]:
        """The report's figures, as report.json holds them: `policies[name][measure]` with `mean`,
        `low` and `high` of a 95% interval, `answers` to the reader's questions, costs, and more.

        The report is made where there is none yet.
        """
        file = self.path / "report.json"
        if not file.exists():
            from heed.report.page import write_report

            write_report(self.path)
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return found

    @property
    def preferences(self) -> list[Comparison]:
        """The comparisons that the run trains on, from every stage that left some."""
        files = [self.path / each.name / "comparisons.jsonl" for each in self.recipe.stages]
        return [row for file in files if file.exists() for row in read_records(file, Comparison)]

    @cached_property
    def _workplace(self) -> Workplace:
        return naming.workplace(self.path)


@dataclass(frozen=True)
class Policy:
    """Somebody who answers."""

    speaker: Speaker

    @property
    def name(self) -> str:
        """The stage, the model's directory, or its name at an address."""
        return self.speaker.who.name

    def sample(
        self,
        prompts: Asked | Sequence[Asked],
        *,
        n: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        max_new_tokens: int | None = None,
    ) -> list[Completion]:
        """Answers to prompts, `n` each: prompts[i] owns the answers [i * n, (i + 1) * n). Without a
        chat template an answer ends where it would go on as Human, too.

        Args:
            prompts: one or several: texts, conversations, or `heed.Prompt`s.
            n: answers a prompt.
            temperature: divides the logits; 0 takes the likeliest token.
            top_p: keeps the likeliest tokens up to this probability.
            seed: the same seed gives the same answers.
            max_new_tokens: answers are cut there; None: 512, or half the context.

        Returns:
            completions: `text`, `finish` ("stop" or "length"), token `ids` and their `logprobs` in
            nats where the model is loaded here.

        Raises:
            UserError: a prompt leaves no room for an answer, or a setting cannot be.
        """
        sampler = self._sampler(temperature, top_p, max_new_tokens)
        return sampler.sample(_prompts(prompts), n=n, seed=seed)

    def stream(
        self,
        prompt: Asked,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        max_new_tokens: int | None = None,
    ) -> Stream:
        """The answer that `sample` gives to the prompt, its text in pieces while it is written; its
        `completion` is what there is so far.

        Raises:
            UserError: as `sample`.
        """
        from heed.sampling.streaming import stream

        sampler = self._sampler(temperature, top_p, max_new_tokens)
        return stream(sampler, _prompt(prompt), seed=seed)

    def _sampler(self, temperature: float, top_p: float, max_new_tokens: int | None) -> Sampler:
        longest = self.speaker.longest if max_new_tokens is None else max_new_tokens
        if temperature < 0 or not 0 < top_p <= 1 or longest < 1:
            raise UserError(
                f"temperature {temperature}, top_p {top_p}, max_new_tokens {longest}: the first is "
                "0 or more, the second above 0 and at most 1, the third at least 1."
            )
        return self.speaker.ask(
            Sampling(
                temperature=float(temperature),
                top_p=float(top_p),
                max_new_tokens=longest,
                stop=list(self.speaker.stop),
            )
        )


@dataclass(frozen=True)
class Reward:
    """What scores answers: a reward model, several of them, a rule, a judge."""

    name: str
    function: RewardFn

    def score(self, prompts: Asked | Sequence[Asked], answers: str | Sequence[str]) -> list[float]:
        """One score an answer, higher is better; a reward model's have no unit, and mean 0 and
        standard deviation 1 on the answers that its run calibrated it on.

        Args:
            prompts: one an answer, or one for all of them.
            answers: texts.

        Raises:
            UserError: there are other numbers of the two.
        """
        asked = _prompts(prompts)
        texts = [answers] if isinstance(answers, str) else list(answers)
        if len(asked) == 1:
            asked = asked * len(texts)
        if len(asked) != len(texts):
            raise UserError(f"{len(asked)} prompts, but {len(texts)} answers: give one for each.")
        return self([Completion(*both) for both in zip(asked, texts, strict=True)])

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        """One score a completion, as `Policy.sample` gives them."""
        return self.function(completions) if completions else []


def _prompts(asked: Asked | Sequence[Asked]) -> list[Prompt]:
    single = isinstance(asked, str | Prompt) or (
        len(asked) > 0 and all(isinstance(each, Mapping) for each in asked)
    )
    if single:
        return [_prompt(asked)]  # type: ignore[arg-type]
    return [_prompt(each) for each in asked]  # type: ignore[union-attr, arg-type]


def _prompt(asked: Asked) -> Prompt:
    if isinstance(asked, Prompt):
        return asked
    if isinstance(asked, str):
        return Prompt.of(asked)
    try:
        said = messages([dict(turn) for turn in asked], "messages")
    except RowError as error:
        raise UserError(f"A prompt cannot be read: {error}.") from error
    return Prompt(_spelled(said), said)


def _spelled(said: tuple[Message, ...]) -> str:
    return "\n\n".join(f"{turn.role}: {turn.content}" for turn in said)
