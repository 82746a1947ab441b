"""The A/B measurement: ratios point the right way, and a tree without a product is named."""

from __future__ import annotations

from pathlib import Path

import before_after
import pytest

RATE = ("", "messages/s", False)
TIME = ("until the 250, p50", "ms", True)


def test_a_ratio_above_one_is_better_whatever_the_figure_means() -> None:
    before = [{RATE: 100.0, TIME: 2.0}, {RATE: 300.0, TIME: 4.0}, {RATE: 200.0, TIME: 3.0}]
    after = [{RATE: 400.0, TIME: 6.0}]
    rate, time = before_after.compare("accept", before, after)
    assert (rate.before, rate.after, rate.ratio) == (200.0, 400.0, 2.0)
    assert (time.before, time.after, time.ratio) == (3.0, 6.0, 0.5)
    assert "0.500" in before_after.text_of([rate, time])


def test_figures_of_one_tree_alone_are_left_out() -> None:
    assert before_after.compare("accept", [{RATE: 1.0}], [{TIME: 1.0}]) == []


def test_a_tree_without_a_product_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="scripts/compile"):
        before_after.measure(tmp_path, "accept", 1.0, compiled=True)
