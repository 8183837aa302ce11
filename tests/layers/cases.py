"""The table of layers over which test_contract.py runs every promise."""

from tests.layers import cases_bilinear
from tests.layers import cases_convolution
from tests.layers import cases_exchange
from tests.layers import cases_log_bilinear
from tests.layers import cases_refiner
from tests.layers import cases_resize
from tests.layers import cases_text
from tests.layers import cases_vector_fusion

CASES = [
    *cases_bilinear.CASES,
    *cases_convolution.CASES,
    *cases_exchange.CASES,
    *cases_log_bilinear.CASES,
    *cases_refiner.CASES,
    *cases_resize.CASES,
    *cases_text.CASES,
    *cases_vector_fusion.CASES,
]
