"""The queries of TPC-H and TPC-DS as they are compared: in one order only."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench/tpc"))
import benchmarks
from benchmarks import BENCHMARKS, CACHE, timings  # noqa: F401 (for those who import this)


def queries(name, scale):
    """{name: text}: of TPC-DS also those that version 2.7 words otherwise."""
    found = BENCHMARKS[name].queries(scale)
    if name == "tpcds":
        found |= {f"{query}-v2.7": text for query, text in sorted(benchmarks.tpcds_later_queries(scale).items())}
    return found


def recorded(name, scale):
    """Where the rows of real Spark are: scale 0.01 in the repository, other scales in the cache."""
    return ROOT / f"oracle/expected/{name}-sf{scale}" if scale == "0.01" else CACHE / f"expected/{name}-sf{scale}"


def total_order(name, text, columns):
    """The query with all its columns as last sort keys, so that a LIMIT among rows that tie always takes the same.

    TPC-H's have no such ties.
    """
    depth, order, limit = 0, False, len(text)
    for token in re.finditer(r"'[^']*'|--[^\n]*|[()]|\border\s+by\b|\blimit\b", text, re.IGNORECASE):
        word = token.group().lower()
        depth += (word == "(") - (word == ")")
        if depth == 0 and word.startswith("order"):
            order = True
        elif depth == 0 and word == "limit":
            limit = token.start()
    if name == "tpch" or not (order or limit < len(text)):
        return text
    keys = ", ".join(str(n) for n in range(1, columns + 1))
    return f"{text[:limit].rstrip()}\n{', ' if order else 'ORDER BY '}{keys}\n{text[limit:]}".rstrip()
