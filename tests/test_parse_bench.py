"""The benchmark's JSON line: found among other output, refused where it cannot be right."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hakprof.errors import ParseError
from hakprof.parse.bench import BenchLine, parse_bench


def line(**changes):
    record = {
        "schema": 1,
        "benchmark": "random_mixed",
        "params": {"ws": 4096},
        "threads": 1,
        "ops": 1_000_000,
        "ops_unit": "malloc+free pair",
        "measured_ns": 20_000_000,
        "ops_per_second": 5e7,
        "startup_ns": 1200,
        "vm_hwm_bytes": 4096,
        "malloc_object": "/usr/lib/libc.so.6",
    } | changes
    return json.dumps({key: value for key, value in record.items() if value is not ...})


def parse(text) -> BenchLine | None:
    return parse_bench(text, source="stdout")


def test_reads_the_line_among_other_output():
    bench = parse(f'hello\n{{"other": "json"}}\n{line()}\nbye\n')
    assert bench is not None
    assert bench.benchmark == "random_mixed"
    assert bench.ops_unit == "malloc+free pair"
    assert bench.ops_per_second == 5e7
    assert bench.malloc_object == "/usr/lib/libc.so.6"
    assert bench.malloc_calls is None


def test_three_keys_are_enough():
    bench = parse('{"benchmark": "mine", "ops": 10, "measured_ns": 2000}')
    assert bench == BenchLine(benchmark="mine", ops=10, measured_ns=2000)
    assert bench.ops_per_second == 5e6


@pytest.mark.parametrize("text", ["", "no json here\n", '{"result": 3}\n', 'the "benchmark" is done\n'])
def test_a_program_without_a_line_is_none(text):
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (line()[:-20], "broken benchmark line"),
        (line(ops=...), "lacks ops"),
        (line(measured_ns=0), "lacks measured_ns above 0"),
        (line(benchmark=...) + '{"benchmark"', "broken benchmark line"),
        (line(ops="many"), "ops = 'many'"),
        (line(ops=-1), "ops = '-1'"),
        (line(ops=2**63), "whole number"),
        (line(threads=1.5), "threads"),
        (line(threads=True), "threads"),
        (line(malloc_object=7), "must be text"),
        (line(schema=2), "schema 2"),
        (line(ops_per_second=1e9), "but 1000000 ops in 20000000 ns are 5e+07"),
        (line() + "\n" + line(), "2 benchmark lines"),
    ],
)
def test_a_wrong_line_is_refused_with_a_remedy(text, message):
    with pytest.raises(ParseError, match="stdout: ") as caught:
        parse(text)
    assert message in caught.value.message
    assert caught.value.remedy


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists),
    st.sampled_from(["schema", "ops", "measured_ns", "ops_per_second", "threads", "mode", "benchmark"]),
)
def test_any_value_under_any_key_is_a_line_or_a_parse_error(value, key):
    with suppress(ParseError):
        assert isinstance(parse(line(**{key: value})), BenchLine)


@given(st.text())
def test_any_text_is_none_or_a_parse_error(text):
    with suppress(ParseError):
        assert not isinstance(parse('{"benchmark"' + text), BenchLine), "it names no ops"
