import dataclasses

import pytest

from applications.task import load_task
from tuning import parameters
from tuning import space
from tuning.objective import Objective

# Name, kind, range or choices, default and what it depends on, of every
# parameter: who changes a space changes this on purpose.
EXCHANGE = {"fusion": ["exchange"]}
JOINING = {
    "fusion": ["concat", "sum", "average", "gated_sum", "self_attention"]
}
GATES = {"fusion": ["self_attention", "squeeze_excite", "self_squeeze_excite"]}
GATED = {
    "fusion": ["exchange", "squeeze_excite", "self_squeeze_excite", "film"]
    + ["align"]
}
ALIGNED = {"fusion": ["align"]}
PLAIN = {"architecture": ["plain"]}
RESNET = {"architecture": ["squeeze_excite_resnet"]}
SPACES = {
    "semantic_segmentation": (
        "max mean_iou.ensemble",
        [
            ("learning_rate", "Float", (3e-4, 3e-3), 1e-3, {}),
            (
                "fusion",
                "Choice",
                ["exchange", "none", *JOINING["fusion"], *GATED["fusion"][1:]],
                "exchange",
                {},
            ),
            ("stage_1", "Boolean", [False, True], True, GATED),
            ("stage_2", "Boolean", [False, True], True, GATED),
            ("stage_3", "Boolean", [False, True], True, GATED),
            ("stage_4", "Boolean", [False, True], True, GATED),
            ("joined_behind", "Int", (1, 4), 4, JOINING),
            ("threshold", "Float", (1e-3, 0.2), 0.02, EXCHANGE),
            ("l1_times_rate", "Float", (4e-8, 4e-6), 4e-7, EXCHANGE),
            ("gate_ratio", "Choice", [2, 4, 8, 16], 16, GATES),
            ("alignment", "Float", (1e-3, 10), 0.1, ALIGNED),
        ],
    ),
    "image_translation": (
        "min l1.ensemble",
        [
            ("learning_rate", "Float", (1e-4, 2e-3), 5e-4, {}),
            ("adversarial", "Choice", [0.0, 0.1, 1.0], 1.0, {}),
            (
                "fusion",
                "Choice",
                ["exchange", "none", *JOINING["fusion"], *GATED["fusion"][1:]],
                "exchange",
                {},
            ),
            ("joined_behind", "Int", (1, 5), 5, JOINING),
            ("threshold", "Float", (1e-3, 0.2), 0.01, EXCHANGE),
            ("l1_times_rate", "Float", (5e-7, 1e-4), 2.5e-5, EXCHANGE),
            ("gate_ratio", "Choice", [2, 4, 8, 16], 16, GATES),
            ("alignment", "Float", (1e-3, 10), 0.1, ALIGNED),
        ],
    ),
    "image_classification": (
        "max accuracy",
        [
            ("learning_rate", "Float", (5e-4, 1e-2), 2e-3, {}),
            ("dropout", "Float", (0.0, 0.4), 0.1, {}),
            (
                "architecture",
                "Choice",
                ["plain", "squeeze_excite_resnet"],
                "plain",
                {},
            ),
            (
                "head",
                "Choice",
                ["sum", "mean", "max", "shared", "locally_connected", "gated"]
                + ["concat", "dag", "eplf", "dsn"],
                "locally_connected",
                PLAIN,
            ),
            ("sides", "Choice", ["1", "2", "1 2"], "1 2", PLAIN),
            ("ratio", "Choice", [2, 4, 8, 16], 16, RESNET),
            ("gated_1", "Boolean", [False, True], True, RESNET),
            ("gated_2", "Boolean", [False, True], True, RESNET),
            ("gated_3", "Boolean", [False, True], True, RESNET),
        ],
    ),
    "instruction_following": (
        "max success",
        [
            ("learning_rate", "Float", (5e-4, 5e-3), 2e-3, {}),
            (
                "fusion",
                "Choice",
                ["concat", "local_dense", "text_convolution", "text_gate"]
                + ["bilinear"],
                "text_convolution",
                {},
            ),
            ("coordinates", "Boolean", [False, True], True, {}),
            (
                "width",
                "Int",
                (8, 64),
                32,
                {"fusion": ["local_dense", "text_convolution"]},
            ),
            ("rank", "Int", (16, 256), 32, {"fusion": ["bilinear"]}),
            ("glimpses", "Int", (1, 4), 2, {"fusion": ["bilinear"]}),
            (
                "activate_product",
                "Boolean",
                [False, True],
                True,
                {"fusion": ["bilinear"]},
            ),
        ],
    ),
}


def described(parameter):
    return (
        parameter.name,
        type(parameter).__name__,
        parameters.limits(parameter) or parameters.choices(parameter),
        parameter.default,
        {one.name: list(one.values) for one in parameter.conditions},
    )


@pytest.mark.parametrize("task", SPACES)
def test_the_space_of_a_task_is(task):
    objective, parameters = SPACES[task]
    loaded = space.load(task, None)
    assert " ".join(loaded.objective) == objective
    assert [described(one) for one in loaded.declare().space] == parameters


@pytest.mark.parametrize("task", SPACES)
def test_the_default_values_are_the_tasks_own_defaults(task):
    loaded = space.load(task, None)
    start = load_task(task).PRESETS["default"]
    config = loaded.changed(loaded.declare().values, start)
    for name, value in dataclasses.asdict(start).items():
        assert getattr(config, name) == (
            pytest.approx(value) if isinstance(value, float) else value
        )


@pytest.mark.parametrize("task", SPACES)
def test_every_value_of_every_choice_makes_settings_the_task_takes(task):
    loaded = space.load(task, None)
    start = load_task(task).PRESETS["default"]
    declared = loaded.declare()
    for parameter in declared.space:
        ends = parameters.limits(parameter) or parameters.choices(parameter)
        for value in ends:
            values = dict(declared.values)
            for condition in parameter.conditions:
                values[condition.name] = condition.values[0]
            values[parameter.name] = value
            # A value that is active beside its parents' counts.
            assert loaded.active(values)[parameter.name] == value
            load_task(task).load_data(loaded.changed(values, start))


def test_segmentation_turns_stages_and_shrinkage_into_settings():
    loaded = space.load("semantic_segmentation", None)
    start = load_task("semantic_segmentation").PRESETS["default"]
    values = loaded.declare().values | {
        "stage_2": False,
        "stage_3": False,
        "learning_rate": 2e-3,
        "l1_times_rate": 1e-6,
        "threshold": 0.1,
    }
    config = loaded.changed(values, start)
    assert config.fusion_stages == (1, 4) and config.threshold == 0.1
    assert config.l1 * config.learning_rate == pytest.approx(1e-6)
    concat = loaded.changed(values | {"fusion": "concat"}, start)
    # What a fusion has no use for stays as it was.
    assert concat == dataclasses.replace(
        start, fusion="concat", learning_rate=2e-3
    )
    early = loaded.changed(
        values | {"fusion": "concat", "joined_behind": 1}, start
    )
    assert early.fusion_stages == (1,)


def test_values_without_effect_are_left_out_of_a_trial(file):
    loaded = space.load("toy", file)
    values = {"kernel": 2.0, "kind": "dry", "dropout": 0.3, "tuner/epochs": 4}
    assert loaded.active(values) == {"kernel": 2.0, "kind": "dry"}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("3", "must return a dict of settings, received 3"),
        ("{'color': hue}", "unknown settings: color"),
        ("{'epochs': hue}", "epochs must be a valid integer"),
    ],
)
def test_settings_that_the_task_does_not_have_explain_themselves(
    returned, message, tmp_path, toy
):
    file = tmp_path / "wrong.py"
    file.write_text(
        "OBJECTIVE = 'max a'\n"
        "def space(hp):\n"
        "    hue = hp.Choice('hue', ['red'])\n"
        f"    return {returned}\n"
    )
    wrong = space.load("toy", file)
    with pytest.raises(ValueError, match=message):
        wrong.changed({"hue": "red"}, toy.Config())


def test_a_task_without_a_space_asks_for_one():
    with pytest.raises(FileNotFoundError, match="give one as --space FILE"):
        space.load("toy", None)


def test_an_objective_is_a_number_of_the_metrics():
    objective = Objective("max", "a.b")
    assert objective.of({"a": {"b": 2}}) == 2.0
    with pytest.raises(ValueError, match="which have a.c, d"):
        objective.of({"a": {"c": 1}, "d": 2, "e": "text"})
    with pytest.raises(ValueError, match="must be a number"):
        objective.of({"a": {"b": "text"}})
    assert objective.better(2) < objective.better(1)
    assert Objective("min", "a").better(1) < Objective("min", "a").better(2)
