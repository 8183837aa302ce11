"""The table of layers over which test_contract.py runs every promise."""

from tests.layers import cases_exchange
from tests.layers import cases_resize

CASES = [
    *cases_exchange.CASES,
    *cases_resize.CASES,
]
