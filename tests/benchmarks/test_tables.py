import numpy as np
import pytest

from benchmarks import memory
from benchmarks import tables


def test_entries_are_mean_and_sample_deviation():
    assert tables.spread([1.0, 2.0, 3.0]) == "2.0 ± 1.0"
    assert tables.spread([1.0, 2.0, 3.0], 2) == "2.00 ± 1.00"
    assert tables.percent([0.5, 0.7]) == "60.0 ± 14.1"
    shares = np.array([0.5, 0.7], "float32")
    assert tables.percent(shares - shares[0], 2) == "10.00 ± 14.14"


def test_a_single_value_has_no_deviation():
    assert tables.spread([2.5], 2) == "2.50"
    assert tables.percent(np.array([0.5])) == "50.0"


def test_a_table_is_printed_and_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "results")
    tables.write_table("name", "Title", ["Note."], ["a", "b"], [[1, "two"]])
    text = (tmp_path / "results" / "name.md").read_text()
    assert capsys.readouterr().out.strip() == text.strip()
    assert text.startswith("# Title\n\nNote.\n")
    assert text.endswith("| a | b |\n| --- | --- |\n| 1 | two |\n")


def test_memory_grows_with_what_is_held():
    before = memory.resident()
    held = np.ones(2**24, "uint8")  # 16 MiB
    assert memory.resident() - before == pytest.approx(16, abs=4)
    assert memory.resident("VmHWM") >= memory.resident()
    del held
