"""Numbers of the analysis in sentences: one wording for a share, a ratio, a configuration."""

from collections.abc import Sequence

from hakprof import units
from hakprof.analysis.statistics import Estimate, Share


def count(value: int) -> str:
    return units.count(value)


def ns(value: float) -> str:
    return units.nanoseconds(value)


def pct(value: float) -> str:
    return units.share(value)


def share(value: Share) -> str:
    """A share with its 95 % interval: ``12.3 % (10.1–14.8 %)``."""
    low, high = units.share(value.low), units.share(value.high)
    return f"{units.share(value.value)} ({low.removesuffix(' %')}–{high})"


def points(value: float) -> str:
    """A difference or width of shares, in percentage points."""
    return units.share(value).removesuffix(" %")


def rate(value: float) -> str:
    return units.rate(value)


def ratio(value: Estimate) -> str:
    """A ratio with its interval: ``1.23× (1.20–1.26)``."""
    if value.low == value.high:
        return units.ratio(value.value)
    low, high = (units.ratio(bound).removesuffix("×") for bound in (value.low, value.high))
    return f"{units.ratio(value.value)} ({low}–{high})"


def change(value: float) -> str:
    return units.signed_percent(value)


def per_1000(value: float) -> str:
    """A rate per 1,000 operations; what is next to nothing is not spelled out."""
    return "<0.001" if 0 < value < 0.001 else units.significant(value)


def configuration(allocator_title: str, variant_title: str) -> str:
    return f"{allocator_title} ({variant_title})" if variant_title else allocator_title


def listing(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
