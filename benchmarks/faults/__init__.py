"""Ten planted faults: is each caught by its gate, how surely, and does a clean run pass?

    python -m benchmarks.faults replays [--only FAULT] [--strength X] [--replays N] [--out DIR]
    python -m benchmarks.faults runs [--only FAULT] [--strength X] [--seeds N] [--out DIR]
    python -m benchmarks.faults table [--out DIR] [--figure FILE]

`replays` asks a gate's pure function a thousand times of simulated data, over a grid of the fault's
strength: its power curve, and how often it trips on clean data of the same kind. No model trains.

`runs` plants the fault in a small, real run of `heed run` (a recipe's setting where there is one,
else a wrapper in the process), and looks into what the gates wrote down.

Both leave one JSON file a fault or a run, so that what was killed loses one of them; `table` draws
what stands there. A fault is a line in `catalogue.FAULTS`: a gate's name, strengths, a replay, and
how it is planted in a run.
"""
