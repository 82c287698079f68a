"""Numbers → text for people: counts, bytes, nanoseconds, shares, ratios, with three significant digits and no locale.

What cannot be told (``None``, NaN, an infinity) is :data:`NOT_AVAILABLE`, never a number.
"""

import math
from collections.abc import Sequence

NOT_AVAILABLE = "n/a"

_DECIMAL = ("", "K", "M", "G", "T", "P", "E")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_SECONDS = ("ns", "µs", "ms", "s")


def finite(value: float | None) -> float | None:
    """The value as a float, or None where it is None, NaN, infinite or beyond a float."""
    if value is None:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def significant(value: float | None, *, digits: int = 3) -> str:
    """``digits`` significant digits without an exponent where that stays readable: 51.9, 0.240, 563."""
    number = finite(value)
    if number is None:
        return NOT_AVAILABLE
    if number == 0:
        return "0"
    rounded = f"{number:.{digits - 1}e}"
    magnitude = int(rounded.partition("e")[2])
    if magnitude < -4 or magnitude > 14:
        return rounded
    return f"{float(rounded):.{max(digits - 1 - magnitude, 0)}f}"


def _scaled(number: float, step: float, suffixes: Sequence[str]) -> tuple[float, str]:
    """The number in the unit in which its rounded text is below ``step``."""
    index = 0
    while index + 1 < len(suffixes) and abs(number) >= step - 0.5:
        number /= step
        index += 1
    return number, suffixes[index]


def count(value: int | None) -> str:
    """An exact count with thousands separated: ``1,591``."""
    if value is None or finite(value) is None:
        return NOT_AVAILABLE
    return f"{round(value):,}"


def si(value: float | None) -> str:
    """A quantity in K, M, G …: ``51.9M``; whole numbers below 1000 stay as they are."""
    number = finite(value)
    if number is None:
        return NOT_AVAILABLE
    if abs(number) < 1000 and number == int(number):
        return str(int(number))
    scaled, suffix = _scaled(number, 1000, _DECIMAL)
    return f"{significant(scaled)}{suffix}"


def rate(value: float | None, *, unit: str = "ops/s") -> str:
    """Throughput: ``51.9M ops/s``."""
    text = si(value)
    return text if text == NOT_AVAILABLE else f"{text} {unit}"


def byte_size(value: float | None) -> str:
    """Bytes in binary units: ``512 B``, ``1.50 KiB``, ``2.00 MiB``."""
    number = finite(value)
    if number is None:
        return NOT_AVAILABLE
    # Steps of 1024 with a rounded 1000…1023 left as it is: "1010 KiB" reads better than "0.99 MiB".
    scaled, suffix = _scaled(number, 1024, _BINARY)
    whole = suffix == "B" or abs(scaled) >= 1000
    return f"{scaled:.0f} {suffix}".replace("-0 ", "0 ") if whole else f"{significant(scaled)} {suffix}"


def nanoseconds(value: float | None) -> str:
    """A duration given in nanoseconds: ``12.3 ns``, ``1.23 µs``, ``340 ms``, ``2.50 s``."""
    number = finite(value)
    if number is None:
        return NOT_AVAILABLE
    scaled, suffix = _scaled(number, 1000, _SECONDS)
    return f"{significant(scaled)} {suffix}"


def _percent(number: float, digits: int) -> str:
    rounded = round(number * 100, digits)
    return f"{rounded if rounded else 0.0:,.{digits}f}"


def share(value: float | None, *, digits: int = 1) -> str:
    """A share (0–1) in percent: ``12.3 %``. What is there but rounds to nothing is ``<0.1 %``."""
    number = finite(value)
    if number is None:
        return NOT_AVAILABLE
    text = _percent(number, digits)
    if number > 0 and round(number * 100, digits) == 0:
        return f"<{10.0**-digits:.{digits}f} %"
    return f"{text} %"


def share_interval(value: float | None, low: float | None, high: float | None, *, digits: int = 1) -> str:
    """A share with its interval: ``12.3 % ±0.4``. The larger half is shown where the two sides differ."""
    number, lower, upper = finite(value), finite(low), finite(high)
    if number is None or lower is None or upper is None:
        return share(value, digits=digits)
    half = max(number - lower, upper - number, 0.0)
    return f"{share(number, digits=digits)} ±{_percent(half, digits)}"


def ratio(value: float | None) -> str:
    """A ratio: ``1.23×``; from 100 on without decimals."""
    number = finite(value)
    if number is None:
        return NOT_AVAILABLE
    if 0 < abs(number) < 0.005:
        return f"{significant(number)}×"
    return f"{number:,.0f}×" if abs(number) >= 99.995 else f"{number or 0.0:.2f}×"


def signed_percent(change: float | None, *, digits: int = 1) -> str:
    """A change (0.131 = +13.1 %) with its sign: ``+13.1 %``, ``-2.0 %``, ``0.0 %``."""
    number = finite(change)
    if number is None:
        return NOT_AVAILABLE
    sign = "+" if round(number * 100, digits) > 0 else ""
    return f"{sign}{_percent(number, digits)} %"
