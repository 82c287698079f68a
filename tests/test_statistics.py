"""Statistics: against textbook values, scipy, and the properties that reports rely on."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, mannwhitneyu

from hakprof.analysis.statistics import (
    attainable_gain,
    geometric_mean,
    mann_whitney_p,
    median_interval,
    median_ratio,
    share_difference,
    spread,
    wilson,
)

positive = st.floats(min_value=1e-3, max_value=1e12)
samples = st.lists(positive, min_size=1, max_size=12)


@pytest.mark.parametrize(("count", "total"), [(0, 10), (1, 10), (5, 10), (10, 10), (37, 1000), (999, 1000), (0, 1)])
def test_wilson_equals_scipy(count: int, total: int) -> None:
    expected = binomtest(count, total).proportion_ci(method="wilson")
    share = wilson(count, total)
    assert share.low == pytest.approx(expected.low, abs=1e-12)
    assert share.high == pytest.approx(expected.high, abs=1e-12)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_wilson_holds_its_value_and_stays_a_share(count: int, more: int) -> None:
    share = wilson(count, count + more)
    assert 0 <= share.low <= share.high <= 1
    if share.total:
        assert share.low - 1e-12 <= share.value <= share.high + 1e-12


def test_wilson_without_samples_says_nothing() -> None:
    share = wilson(0, 0)
    assert (share.low, share.high) == (0.0, 1.0)
    assert math.isnan(share.value)


def test_newcombe_example() -> None:
    # Newcombe 1998, table II, example (a): 56/70 − 48/80, method 10.
    delta, low, high = share_difference(wilson(48, 80), wilson(56, 70))
    assert (delta, low, high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


@given(st.integers(0, 500), st.integers(500, 1000), st.integers(0, 500), st.integers(500, 1000))
def test_share_difference_mirrors(c1: int, n1: int, c2: int, n2: int) -> None:
    forth = share_difference(wilson(c1, n1), wilson(c2, n2))
    back = share_difference(wilson(c2, n2), wilson(c1, n1))
    assert forth == pytest.approx((-back[0], -back[2], -back[1]))


@given(samples)
def test_interval_holds_the_median_and_stays_inside_the_runs(values: list[float]) -> None:
    estimate = median_interval(values)
    assert min(values) <= estimate.low <= estimate.value <= estimate.high <= max(values)


@given(samples, st.randoms(use_true_random=False))
def test_order_of_runs_does_not_matter(values: list[float], shuffler: random.Random) -> None:
    shuffled = list(values)
    shuffler.shuffle(shuffled)
    assert median_interval(shuffled) == median_interval(values)


@pytest.mark.parametrize(
    ("n", "method"), [(1, "single"), (2, "range"), (5, "range"), (6, "bootstrap"), (7, "bootstrap")]
)
def test_too_few_runs_are_said_so(n: int, method: str) -> None:
    estimate = median_interval([10.0 + i for i in range(n)])
    assert estimate.method == method
    if method == "range":
        assert (estimate.low, estimate.high) == (10.0, 9.0 + n)


@given(samples, samples)
def test_ratio_mirrors(a: list[float], b: list[float]) -> None:
    forth, back = median_ratio(a, b), median_ratio(b, a)
    assert forth.value == pytest.approx(1 / back.value)
    assert forth.low == pytest.approx(1 / back.high)
    assert forth.high == pytest.approx(1 / back.low)


@given(samples)
def test_a_sample_does_not_differ_from_itself(values: list[float]) -> None:
    ratio = median_ratio(values, values)
    assert ratio.value == 1
    assert ratio.low <= 1 <= ratio.high
    assert mann_whitney_p(values, values) > 0.05


def test_bootstrap_covers_the_true_median_about_as_often_as_it_says() -> None:
    generator = random.Random(7)
    covered = 0
    for _ in range(200):
        estimate = median_interval([generator.gauss(100, 5) for _ in range(9)])
        covered += estimate.low <= 100 <= estimate.high
    assert covered >= 170  # 85 %: percentile intervals of nine runs are a little narrow


distinct = st.lists(st.floats(min_value=0.1, max_value=1e9), min_size=2, max_size=24, unique=True)


@given(distinct, st.data())
def test_the_counted_u_test_equals_scipys(values: list[float], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(values) - 1))
    a, b = values[:cut], values[cut:]
    method = "exact" if max(len(a), len(b)) <= 20 else "auto"
    assert mann_whitney_p(a, b) == pytest.approx(mannwhitneyu(a, b, method=method).pvalue, abs=1e-12)


def test_ties_are_left_to_scipy() -> None:
    a, b = [1.0, 2.0, 2.0, 3.0], [2.0, 4.0, 4.0, 5.0]
    assert mann_whitney_p(a, b) == pytest.approx(mannwhitneyu(a, b).pvalue)


def test_mann_whitney_needs_enough_runs_to_show_anything() -> None:
    assert mann_whitney_p([1.0, 2.0, 3.0], [10.0, 11.0, 12.0]) == pytest.approx(0.1)
    assert mann_whitney_p([1.0, 2.0, 3.0, 4.0], [10.0, 11.0, 12.0, 13.0]) < 0.05
    assert mann_whitney_p([], [1.0]) == 1.0
    assert mann_whitney_p([5.0, 5.0], [5.0]) == 1.0


def test_spread() -> None:
    found = spread([4.359170e6, 4.662826e6, 4.578922e6])
    assert found.mean == pytest.approx(4.533639e6, rel=1e-6)
    assert found.cv == pytest.approx(0.0346, abs=1e-4)
    assert math.isnan(spread([1.0]).sd)


def test_geometric_mean() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert math.isnan(geometric_mean([]))


def test_attainable_gain() -> None:
    assert attainable_gain(0.5) == pytest.approx(1.0)
    assert attainable_gain(0.0374) == pytest.approx(0.03885, abs=1e-5)
    assert attainable_gain(1.0) == math.inf
