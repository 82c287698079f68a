"""The few statistics that reports use, each with its source. Pure functions on small samples; no polars, no I/O.

Intervals are 95 % unless said otherwise. Random numbers come from a generator seeded by the sample itself: the same
values in any order give the same interval, and ``ratio(a, b)`` is the exact mirror of ``ratio(b, a)``.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
Z95 = 1.959963984540054  # 97.5 % point of the normal distribution
BOOTSTRAP_DRAWS = 4000
MOST_COUNTED = 20  # runs of a side up to which the U test is counted exactly
# Below six values no order statistic reaches 95 % confidence for the median (2 · 0.5⁵ > 0.05), so none is claimed.
LEAST_FOR_INTERVAL = 6

# Samples below which nothing is concluded: a share of one half of 30 is only known within ±18 points.
LEAST_SAMPLES = 30

Floats = NDArray[np.float64]
Method = Literal["bootstrap", "range", "single"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval. ``method`` "range" is min..max of too few runs for a 95 % interval."""

    value: float
    low: float
    high: float
    n: int
    method: Method

    @property
    def half_width_share(self) -> float:
        """Half of the interval's width over the value: how narrow it is."""
        return (self.high - self.low) / 2 / self.value if self.value else math.inf


@dataclass(frozen=True, slots=True)
class Share:
    """``count`` of ``total`` samples with its Wilson interval; all of ``value``, ``low``, ``high`` in 0..1."""

    count: int
    total: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Raw values of a sample and how consistent they are. ``cv`` is the sample standard deviation over the mean."""

    values: tuple[float, ...]
    mean: float
    median: float
    sd: float
    cv: float

    @property
    def n(self) -> int:
        return len(self.values)


def spread(values: Sequence[float]) -> Spread:
    """Mean, median, standard deviation (n − 1) and coefficient of variation; sd and cv are nan for one value."""
    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean())
    sd = float(sample.std(ddof=1)) if len(sample) > 1 else math.nan
    return Spread(tuple(float(v) for v in sample), mean, float(np.median(sample)), sd, sd / mean if mean else math.nan)


def median_interval(values: Sequence[float]) -> Estimate:
    """Median with its percentile-bootstrap interval (Efron & Tibshirani 1993, ch. 13); see ``LEAST_FOR_INTERVAL``."""
    sample = np.sort(np.asarray(values, dtype=float))
    middle = float(np.median(sample))
    if len(sample) < LEAST_FOR_INTERVAL:
        method: Method = "single" if len(sample) == 1 else "range"
        return Estimate(middle, float(sample[0]), float(sample[-1]), len(sample), method)
    low, high = np.quantile(_bootstrap_medians(sample), _tails())
    return Estimate(middle, float(low), float(high), len(sample), "bootstrap")


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> Estimate:
    """Ratio of the medians of two independent samples of positive values; the bootstrap is on its logarithm."""
    top, bottom = np.sort(np.asarray(numerator, dtype=float)), np.sort(np.asarray(denominator, dtype=float))
    value = float(np.median(top) / np.median(bottom))
    n = min(len(top), len(bottom))
    if n < LEAST_FOR_INTERVAL:
        method: Method = "single" if max(len(top), len(bottom)) == 1 else "range"
        return Estimate(value, float(top[0] / bottom[-1]), float(top[-1] / bottom[0]), n, method)
    logs = np.log(_bootstrap_medians(top)) - np.log(_bootstrap_medians(bottom))
    low, high = np.exp(np.quantile(logs, _tails()))
    return Estimate(value, float(low), float(high), n, "bootstrap")


def geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean of positive values; nan for none."""
    return math.exp(math.fsum(math.log(value) for value in values) / len(values)) if values else math.nan


def mann_whitney_p(a: Sequence[float], b: Sequence[float]) -> float:
    """Two-sided p-value of the U test (Mann & Whitney 1947, Ann. Math. Stat. 18:50); 1.0 without contrast.

    A handful of runs without ties, which is what nearly every table compares, is counted exactly here: scipy.stats
    gives the same number and takes 0.7 s to import. Ties and large samples are left to it.
    """
    if min(len(a), len(b)) == 0 or len(set(a) | set(b)) == 1:
        return 1.0
    if max(len(a), len(b)) <= MOST_COUNTED and len({*a, *b}) == len(a) + len(b):
        return _exact_p(a, b)
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(a, b, alternative="two-sided").pvalue)


def _exact_p(a: Sequence[float], b: Sequence[float]) -> float:
    u = sum(x > y for x in a for y in b)
    counts = _u_distribution(len(a), len(b))
    extreme = max(u, len(a) * len(b) - u)
    return min(1.0, 2 * sum(counts[extreme:]) / sum(counts))


@lru_cache(maxsize=256)
def _u_distribution(m: int, n: int) -> tuple[int, ...]:
    """Arrangements of m and n values by U = 0 … mn: coefficients of ∏ (1 − xⁿ⁺ⁱ)/(1 − xⁱ), i = 1 … m."""
    counts = [1] + [0] * (m * n)
    for i in range(1, m + 1):
        for u in range(m * n, n + i - 1, -1):
            counts[u] -= counts[u - n - i]
        for u in range(i, m * n + 1):
            counts[u] += counts[u - i]
    return tuple(counts)


def wilson(count: int, total: int) -> Share:
    """Score interval of a binomial share (Wilson 1927, J. Am. Stat. Assoc. 22:209); 0..1 where there are no samples."""
    if total <= 0:
        return Share(count, total, math.nan, 0.0, 1.0)
    p, z2 = count / total, Z95 * Z95
    centre = (p + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 * math.sqrt(p * (1 - p) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    # The bounds are exact at both ends; rounding must not push them beyond.
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == total else min(1.0, centre + half)
    return Share(count, total, p, low, high)


def share_difference(before: Share, after: Share) -> tuple[float, float, float]:
    """(difference, low, high) of two independent shares: method 10 of Newcombe 1998, Stat. Med. 17:873."""
    if not before.total or not after.total:
        return math.nan, -1.0, 1.0
    delta = after.value - before.value
    low = delta - math.hypot(after.value - after.low, before.high - before.value)
    high = delta + math.hypot(after.high - after.value, before.value - before.low)
    return delta, low, high


def attainable_gain(share: float) -> float:
    """Most that throughput can rise if a part that takes ``share`` of the time vanishes (Amdahl 1967): s / (1 − s)."""
    return share / (1 - share) if share < 1 else math.inf


def _tails() -> tuple[float, float]:
    return (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2


def _bootstrap_medians(sample: Floats) -> Floats:
    seed = np.frombuffer(hashlib.sha256(sample.tobytes()).digest(), dtype=np.uint32)
    draws = np.random.default_rng(seed).integers(0, len(sample), size=(BOOTSTRAP_DRAWS, len(sample)))
    medians: Floats = np.median(sample[draws], axis=1)
    return medians
