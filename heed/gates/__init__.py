"""What may stop a run: each gate asks one question of its data, its labels or its training.

A gate is three things:

1. its settings, a class and a line in `heed/recipe/gates.py`: an action, thresholds, and
   `false_alarms`, how often it may trip over a whole run in which nothing is wrong;
2. a pure function here that returns a `Finding`, from records and numbers alone: it knows no
   recipe and no run, so that it can be replayed a thousand times;
3. a line in one of the three dicts of `heed/stages/gates.py`, which says when it is asked:

   AFTER    of what a stage left    (work, stage's settings, gate's settings) -> Finding | None
   BEFORE   of a training's start   (work, method, gate's settings) -> Finding | None
   DURING   of every iteration      (rows of metrics so far, gate's settings, iterations in all)
                                    -> Finding | None

None says that there is nothing to look at (yet). So the sign of a reward model is

    # heed/gates/sign.py
    def sign(correct: Sequence[float], prompts: Sequence[str], *, false_alarms: float) -> Finding:
        ...

    # a file in heed/stages, imported by heed/stages/gates.py
    def _sign(work: Workplace, stage: RewardModelling, gate: SignGate) -> Finding | None:
        heldout = work.comparisons(stage.comparisons, "heldout")
        correct = correctness(work.reward(stage.name), heldout)
        return sign(correct, [each.prompt.id for each in heldout], false_alarms=gate.false_alarms)

    AFTER = {"sign": After((RewardModelling,), _sign), ...}

What is found stands in the stage's gates.jsonl, in the live output and in the report. What follows
is the recipe's present action, so that it can be changed afterwards: under `refuse` the stage that
was asked AFTER finishes and what reads from it does not start; one asked BEFORE does not train.
Under `stop` a training asked DURING ends in order and leaves the best policy until then. Findings
of a training derive from what is logged, and a run that was killed finds the same ones.

A statistic of DURING is at rest at 0 and below: the last checkpoint at which all were is kept where
a gate stops the training and nothing better is measured.
"""
