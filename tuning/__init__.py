"""Searches over the settings of tasks: `python -m tuning TASK`.

A trial is a run of `python -m applications TASK train` with a `Config` that
the search has changed: it is resumed, watched and evaluated as any run. A task
joins by a file `applications/<task>/space.py`; a file of your own is given by
`--space FILE`. Either defines

| name | what |
|---|---|
| `OBJECTIVE` | `"max KEY"` or `"min KEY"`, a key of the trial's `metrics.json`; `a.b` is key `b` of `a` |
| `space(hp)` | dict of settings that the trial changes, from what `hp` gives; a `None` leaves a setting as it is |
| `START` | only where searches start from other settings than trainings do: dict of them |

`hp` is a `keras_tuner.HyperParameters`: `Choice`, `Boolean`, `Int`, `Float`
and `Fixed`. What is asked for under `hp.conditional_scope(parent, values)` is
`None` where the parent has another value.

A search is the folder `RUNS_DIR/searches/NAME/TASK`:

| name | what |
|---|---|
| `search.json` | what is searched, and how |
| `0/`, `1/`, ... | the trials' runs, with `trial.json` (values, status, score) and `output.txt` |
| `trials.csv` | a row a trial |
| `best.json` | config of the best trial, for `python -m applications TASK train --config` |
| `scores.png` | the score against each parameter, and against the cost |
| `hparams/` | the search for TensorBoard's HParams; `tensorboard --logdir` on the whole folder |
| `oracle/` | the state of the search's algorithm |
"""  # noqa: E501
