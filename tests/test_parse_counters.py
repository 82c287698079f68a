"""Counters' JSON: nested numbers → flat rows; what is no counter is passed over, what is cut off is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakprof.errors import ParseError
from hakprof.parse.counters import parse_counters, read_counters


def values(text):
    parsed = parse_counters(text, source="counters.json")
    return dict(parsed.frame.iter_rows())


def test_nested_keys_are_joined_and_sorted():
    text = (
        '{"flavour": "instrumented", "stages": {"stage2": 2117, "stage1": 105}, "ok": true, "bins": [{"n": 1}, null]}'
    )
    assert list(values(text).items()) == [("bins.0.n", 1), ("stages.stage1", 105), ("stages.stage2", 2117)]


def test_numbers_beyond_64_bits_and_fractions_are_left_out_and_said():
    parsed = parse_counters(
        f'{{"a": 1, "big": {2**63}, "rate": 0.93, "whole": 2.0, "nan": NaN}}', source="counters.json"
    )
    assert dict(parsed.frame.iter_rows()) == {"a": 1, "whole": 2}
    assert len(parsed.warnings) == 3


def test_two_ways_to_one_name_keep_the_first_and_say_so():
    parsed = parse_counters('{"a": {"b": 1}, "a.b": 2}', source="counters.json")
    assert dict(parsed.frame.iter_rows()) == {"a.b": 1}
    assert "occurs twice" in parsed.warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ('{"calls": {"malloc": 12, "fr', "cut off or not JSON"),
        ('{"a": 1}{"a": 2}', "cut off or not JSON"),
        ("[1, 2]", "one JSON object, got list"),
        ('{"name": "x"}', "no whole number"),
        ('{"a": ' * 100_000, "cut off or not JSON"),
    ],
)
def test_a_wrong_file_is_refused_with_a_remedy(text, message):
    with pytest.raises(ParseError, match=message) as caught:
        parse_counters(text, source="counters.json")
    assert caught.value.remedy


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "counters.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParseError, match="cut off or not JSON"):
        read_counters(tmp_path / "counters.json")


TREES = st.dictionaries(
    st.text(alphabet="abc", min_size=1),
    st.integers(-(2**63), 2**63 - 1) | st.dictionaries(st.text("xyz", min_size=1), st.integers(0, 9)),
)


@given(TREES)
def test_every_number_is_kept(tree):
    total = sum(sum(value.values()) if isinstance(value, dict) else value for value in tree.values())
    try:
        assert sum(values(json.dumps(tree)).values()) == total
    except ParseError:
        assert all(value == {} for value in tree.values())


@given(st.integers(min_value=1, max_value=60))
def test_truncation_anywhere_is_a_parse_error(length):
    whole = '{"calls":{"malloc":12,"free":11},"stages":{"stage1":1,"stage2":2}}'
    with pytest.raises(ParseError):
        parse_counters(whole[:length], source="counters.json")
