import dataclasses

from applications.multilabel_recognition import Config
from applications.multilabel_recognition import build_model
from benchmarks import recognition
from keras_fusion.models import CATEGORY_POOLINGS

CONFIG = Config(classes=("a", "b"), side=32, blocks=(1,), width=4, rank=8)


def test_every_pooling_is_a_row():
    named = {change.get("pooling") for change in recognition.METHODS.values()}
    assert named - {None} == set(CATEGORY_POOLINGS) - {"semantic_attention"}


def test_rows_have_the_weights_of_the_first():
    budget = build_model(CONFIG).count_params()
    for changes in ({"pooling": "global_average"}, {"graph_steps": 0}):
        units = recognition.width_of(budget, CONFIG, changes)
        changed = dataclasses.replace(CONFIG, **changes, units=units)
        count = build_model(changed).count_params()
        # One more unit would be about twenty weights more.
        assert abs(count - budget) < 20
