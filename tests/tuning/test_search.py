"""Searches over a toy task whose trials are trained in this process."""

import csv
import dataclasses
import itertools
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from PIL import ImageColor
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)
from tensorboard.plugins.hparams import plugin_data_pb2

from applications import cli as applications_cli
from applications import files
from applications import runs
from applications.reports import Incomplete
from applications.runs import Run
from tuning import cli
from tuning import pictures
from tuning import results
from tuning import trial as trials


@pytest.fixture(scope="module")
def finished(finish_search):
    """A search of four trials that keeps the weights of two."""
    return finish_search(trials=4, keep=2)


def table(search):
    with open(search.folder / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


def has_weights(folder):
    return (folder / "model.keras").exists(), (folder / "checkpoints").exists()


@pytest.mark.parametrize("algorithm", ["grid", "bayesian", "nsga2"])
def test_an_algorithm_tries_as_many_settings_as_asked(
    run_search, trainings, algorithm
):
    if algorithm == "nsga2":
        pytest.importorskip("optuna")
    search = run_search(algorithm=algorithm, trials=2)
    assert [row["trial"] for row in table(search)] == ["0", "1"]
    tried = {tuple(row.values.items()) for row in results.read(search)}
    assert len(tried) == len(trainings) == 2


def test_the_table_says_what_was_tried_and_what_came_of_it(finished):
    search = finished
    rows = table(search)
    assert [row["trial"] for row in rows] == ["0", "1", "2", "3"]
    assert {row["status"] for row in rows} == {"completed"}
    tried = {(row["kernel"], row["kind"], row["dropout"]) for row in rows}
    assert len(tried) == 4
    for row in rows:
        config = Run("toy", search.folder / row["trial"]).config
        metrics = files.read_json(search.folder / row["trial"] / "metrics.json")
        assert float(row["kernel"]) == config.kernel
        # Its condition decides whether a value counts.
        assert bool(row["dropout"]) == (row["kind"] == "wet")
        if row["dropout"]:
            assert float(row["dropout"]) == pytest.approx(config.dropout)
        assert float(row["score"]) == metrics["accuracy"]
        for name in ("parameters", "seconds_per_step"):
            assert float(row[name]) == metrics[name]


def test_the_best_config_trains_as_it_is(finished, capsys):
    search = finished
    results.conclude(search)
    rows = table(search)
    best = max(rows, key=lambda row: float(row["score"]))
    file = search.folder / "best.json"
    content = json.loads(file.read_text())
    assert content["kernel"] == float(best["kernel"])
    assert content["name"] == "default-best"
    assert applications_cli.main(["toy", "train", "--config", str(file)]) == 0
    run = runs.create("toy", search.start).folder.with_name("default-best")
    # The same settings and seed: the same result.
    assert files.read_json(run / "metrics.json")["accuracy"] == float(
        best["score"]
    )
    printed = capsys.readouterr().out
    assert f"train --config {file}" in printed
    # Best first.
    assert printed.splitlines()[2].startswith(f"{best['trial']} ")
    assert "4 trials, 0 of them failed" in printed


def test_only_the_best_trials_keep_their_weights(finished):
    search = finished
    best = [t.name for t in results.ranked(search, results.read(search))]
    for name in best[:2]:
        assert has_weights(search.folder / name) == (True, True)
        Run("toy", search.folder / name).model()
    for name in best[2:]:
        assert has_weights(search.folder / name) == (False, False)


def test_a_search_goes_on_where_it_was(run_search, trainings):
    before = table(run_search(trials=1))
    assert len(trainings) == 1
    # Nothing left to do.
    run_search(trials=1)
    assert len(trainings) == 1
    after = table(run_search(trials=2))[0]
    assert before[0].items() <= after.items()
    assert len(trainings) == 2


def test_other_settings_are_another_search(make_search, tmp_path, file):
    make_search()
    with pytest.raises(ValueError, match="start.epochs 1 -> 2.*another --name"):
        make_search({"epochs": 2})
    with pytest.raises(ValueError, match="flags.algorithm"):
        make_search(algorithm="grid")
    file.write_text(file.read_text().replace("10.0", "20.0"))
    with pytest.raises(ValueError, match="space"):
        make_search()
    make_search({"name": "other"})


def test_a_diverged_trial_is_a_failed_one_and_the_search_goes_on(
    run_search, file
):
    # First weights of infinity in float32: the loss is not finite.
    file.write_text(
        "OBJECTIVE = 'max accuracy'\n"
        "def space(hp):\n"
        "    return {'kernel': hp.Choice('kernel', [1.0, 1e300])}\n"
    )
    search = run_search(trials=2, algorithm="grid")
    rows = {row["kernel"]: row for row in table(search)}
    assert rows["1.0"]["status"] == "completed"
    assert rows["1e+300"]["status"] == "failed"
    assert "ended with status 1" in rows["1e+300"]["message"]
    assert not rows["1e+300"]["score"]
    assert json.loads((search.folder / "best.json").read_text())["kernel"] == 1
    assert not (search.folder / "1" / "checkpoints").exists()


def test_a_failed_trial_is_not_tried_again(
    run_search, make_search, trainings, file
):
    file.write_text(
        "OBJECTIVE = 'max accuracy'\n"
        "def space(hp):\n"
        "    return {'kernel': hp.Choice('kernel', [1e300])}\n"
    )
    with pytest.raises(Incomplete, match="all 1 trials .* failed"):
        run_search(trials=1)
    trial = trials.run(make_search(trials=1), "0", {"kernel": 1e300})
    assert trial.status == "failed" and "status 1" in trial.message
    assert len(trainings) == 1


def test_values_that_the_task_refuses_are_a_failed_trial(run_search, file):
    # The value that is tried before a search begins is the first.
    file.write_text(
        "OBJECTIVE = 'max accuracy'\n"
        "def space(hp):\n"
        "    return {'dropout': hp.Choice('dropout', [0.5, 1.0])}\n"
    )
    search = run_search(trials=2, algorithm="grid")
    rows = {row["dropout"]: row for row in table(search)}
    assert rows["0.5"]["status"] == "completed"
    assert "dropout must be less than 1" in rows["1.0"]["message"]


def test_hyperband_goes_on_from_the_weights_of_the_best(run_search, trainings):
    search = run_search({"epochs": 3}, algorithm="hyperband", trials=None)
    rows = results.read(search)
    assert len(trainings) == len(rows)
    continued = 0
    for row in rows:
        history = (search.folder / row.name / "history.csv").read_text()
        epochs = int(row.metrics["epochs"])
        # Every epoch once, those of the trial that it goes on from included.
        assert len(history.splitlines()) == epochs + 1
        if earlier := row.continues:
            continued += 1
            output = (search.folder / row.name / "output.txt").read_text()
            before = next(r for r in rows if r.name == earlier)
            assert before.values == row.values
            assert f"resumed after epoch {int(before.metrics['epochs'])}" in (
                output
            )
            earlier_lines = (
                search.folder / earlier / "history.csv"
            ).read_text()
            assert history.startswith(earlier_lines)
    assert continued
    kept = [row for row in rows if has_weights(search.folder / row.name)[1]]
    assert len(kept) == search.flags.keep


def test_tensorboard_gets_every_parameter_with_its_range(finished):
    search = finished
    about = read_hparams(search.folder / "hparams", "_hparams_/experiment")
    infos = {info.name: info for info in about.experiment.hparam_infos}
    assert set(infos) == {"kernel", "kind", "dropout"}
    assert infos["kernel"].domain_interval.min_value == 0.1
    assert infos["kernel"].domain_interval.max_value == 10.0
    kinds = infos["kind"].domain_discrete.values
    assert {value.string_value for value in kinds} == {"wet", "dry"}
    metrics = [one.name.tag for one in about.experiment.metric_infos]
    assert metrics == ["accuracy", "parameters", "seconds_per_step"]
    for row in results.read(search):
        logs = search.folder / row.name / "logs" / "hparams"
        session = read_hparams(logs, "_hparams_/session_start_info")
        values = session.session_start_info.hparams
        assert set(values) == set(row.values)
        assert values["kernel"].number_value == row.values["kernel"]
        events = EventAccumulator(str(logs))
        events.Reload()
        scalar = tf.make_ndarray(events.Tensors("accuracy")[0].tensor_proto)
        assert float(scalar) == pytest.approx(row.score)


def read_hparams(logs, tag):
    events = EventAccumulator(str(logs))
    events.Reload()
    content = events.SummaryMetadata(tag).plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def test_the_front_is_what_nothing_beats_in_both(rng):
    cost = rng.integers(0, 12, 40)
    loss = 12 - cost + rng.integers(0, 4, 40)
    found = set(pictures.front(cost, loss).tolist())
    for a in range(40):
        beaten = any(
            cost[b] <= cost[a]
            and loss[b] <= loss[a]
            and (cost[b] < cost[a] or loss[b] < loss[a])
            for b in range(40)
        )
        if a in found:
            assert not beaten
        elif not beaten:
            # Of equal points one stands for all.
            assert any(cost[a] == cost[b] and loss[a] == loss[b] for b in found)
    assert len(found) > 1


def test_a_picture_shows_the_scores(finished):
    with Image.open(finished.folder / "scores.png") as file:
        picture = np.asarray(file.convert("RGB")).reshape(-1, 3)
    for color in (pictures.COLOR, pictures.FRONT_COLOR):
        drawn = np.array(ImageColor.getrgb(color))
        assert (np.abs(picture - drawn).max(axis=1) < 60).sum() > 20


def test_two_objectives_are_searched_by_one_process(make_search):
    with pytest.raises(ValueError, match="--workers 2: drop it"):
        make_search(algorithm="nsga2", workers=2)


def test_a_cut_off_search_for_two_objectives_finishes_its_trial(
    run_search, make_search, trainings, monkeypatch
):
    pytest.importorskip("optuna")
    train = trials._train
    begun = itertools.count()

    def cut_off(*arguments):
        if next(begun) == 1:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(trials, "_train", cut_off)
    with pytest.raises(KeyboardInterrupt):
        run_search(algorithm="nsga2")
    search = run_search(algorithm="nsga2")
    assert [row["status"] for row in table(search)] == ["completed"] * 3
    assert len(trainings) == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--trials", "0"], "trials must be at least 1, received 0"),
        (["--space", "no.py"], "there is no search space 'no.py'"),
        (["--algorithm", "luck"], "invalid choice"),
        (["climb"], "unknown verb 'climb'"),
        (["--color", "red"], "color"),
    ],
)
def test_wrong_flags_explain_themselves(
    flags, message, file, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    given = [] if "--space" in flags else ["--space", str(file)]
    if flags[0] == "climb":
        given = []
    assert cli.main(["toy", *flags, *given]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_a_search_tells_the_settings_it_starts_from(
    tmp_path, file, trainings, capsys
):
    file.write_text(file.read_text() + "\nSTART = {'epochs': 2}\n")
    flags = ["--space", str(file), "--trials", "1"]
    home = str(tmp_path / "runs")
    assert cli.main(["toy", *flags, "--runs-dir", home]) == 0
    assert (
        cli.main(
            ["toy", *flags, "--runs-dir", home, "--name", "n", "--epochs", "1"]
        )
        == 0
    )
    for name, epochs in (("default", 2), ("n", 1)):
        metrics = files.read_json(
            tmp_path / "runs" / "searches" / name / "toy" / "0" / "metrics.json"
        )
        assert metrics["epochs"] == epochs


def test_flags_of_the_search_and_of_its_trials_have_different_names(toy):
    from tuning.flags import Flags

    names = {field.name for field in dataclasses.fields(Flags)}
    assert not names & {field.name for field in dataclasses.fields(toy.Config)}
