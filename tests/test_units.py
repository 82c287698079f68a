"""Numbers as people read them: rounding at the edges of units, zero, huge, and what is no number."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakprof import units

FORMATTERS = [
    units.si,
    units.rate,
    units.byte_size,
    units.nanoseconds,
    units.share,
    units.ratio,
    units.signed_percent,
    units.significant,
]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (5, "5"),
        (999, "999"),
        (0.24, "0.240"),
        (999.4, "999"),
        (999.95, "1.00K"),
        (563_000, "563K"),
        (999_499, "999K"),
        (999_500, "1.00M"),
        (51_900_000, "51.9M"),
        (-1_300_000, "-1.30M"),
        (2.5e9, "2.50G"),
        (1e30, "1000000000000E"),
    ],
)
def test_si(value, text):
    assert units.si(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (999, "999 B"),
        (1024, "1.00 KiB"),
        (1023.6 * 1024, "1.00 MiB"),
        (1536, "1.50 KiB"),
        (1010 * 1024, "1010 KiB"),
        (2 * 1024**2, "2.00 MiB"),
        (5 * 1024**3, "5.00 GiB"),
        (-0.2, "0 B"),
    ],
)
def test_byte_size(value, text):
    assert units.byte_size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 ns"), (12.34, "12.3 ns"), (1234, "1.23 µs"), (999_999, "1.00 ms"), (3.4e8, "340 ms"), (9e10, "90.0 s")],
)
def test_nanoseconds(value, text):
    assert units.nanoseconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0 %"), (1, "100.0 %"), (0.123, "12.3 %"), (0.0004, "<0.1 %"), (0.9996, "100.0 %"), (-0.0001, "0.0 %")],
)
def test_share(value, text):
    assert units.share(value) == text


def test_share_interval_shows_the_larger_half():
    assert units.share_interval(0.10, 0.09, 0.13) == "10.0 % ±3.0"
    assert units.share_interval(0.6818, 0.68, 0.6836, digits=2) == "68.18 % ±0.18"


def test_share_without_an_interval_is_the_share_alone():
    assert units.share_interval(0.10, None, 0.13) == "10.0 %"
    assert units.share_interval(None, 0.1, 0.2) == "n/a"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1.00×"), (1.234, "1.23×"), (0.0012, "0.00120×"), (97.2, "97.20×"), (1234.6, "1,235×"), (0, "0.00×")],
)
def test_ratio(value, text):
    assert units.ratio(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.31, "+131.0 %"), (-0.9, "-90.0 %"), (0, "0.0 %"), (0.0001, "0.0 %"), (-0.0001, "0.0 %"), (12.5, "+1,250.0 %")],
)
def test_signed_percent(value, text):
    assert units.signed_percent(value) == text


def test_count_separates_thousands():
    assert units.count(1591) == "1,591"
    assert units.count(0) == "0"
    assert units.count(None) == "n/a"


def test_rate_names_its_unit():
    assert units.rate(51.9e6) == "51.9M ops/s"
    assert units.rate(None) == "n/a"


@pytest.mark.parametrize("formatter", [*FORMATTERS, units.count])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, 10**400])
def test_what_cannot_be_told_is_never_a_number(formatter, value):
    assert formatter(value) == units.NOT_AVAILABLE


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_formatter_fails_or_shows_a_negative_zero(value):
    for formatter in FORMATTERS:
        text = formatter(value)
        assert text
        assert not text.startswith(("-0 ", "-0.0 ", "-0.00×"))


_SUFFIX_FACTOR = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18}


@given(st.floats(min_value=1e-3, max_value=9e20))
def test_si_keeps_three_significant_digits(value):
    text = units.si(value)
    suffix = text.lstrip("0123456789.")
    assert float(text.removesuffix(suffix)) * _SUFFIX_FACTOR[suffix] == pytest.approx(value, rel=0.00501)


@given(st.integers(min_value=0, max_value=2**62))
def test_byte_size_is_within_its_rounding(value):
    number, unit = units.byte_size(value).split(" ")
    factor = 1024 ** ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB").index(unit)
    assert float(number) * factor == pytest.approx(value, rel=0.00501, abs=0.5)


def test_units_need_no_heavy_import():
    heavy = "{'numpy', 'polars', 'pandas', 'scipy', 'jinja2'}"
    code = f"import sys, hakprof.units; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
