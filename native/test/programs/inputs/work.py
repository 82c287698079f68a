"""Threads, forks, json, sqlite3, big integers: prints digests that do not depend on who serves the memory."""

import concurrent.futures
import decimal
import gc
import hashlib
import json
import multiprocessing
import re
import sqlite3
import subprocess
import sys
import zlib


def digest(index: int) -> str:
    data = [{"key": str(i + index), "value": [i] * (i % 50)} for i in range(2000)]
    text = json.dumps(data)
    assert json.loads(text) == data
    return hashlib.sha256(zlib.compress(text.encode())).hexdigest()


def main() -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        print(list(threads.map(digest, range(8))))
        with multiprocessing.get_context("fork").Pool(2) as processes:
            print(processes.map(digest, range(4)))
    database = sqlite3.connect(":memory:")
    database.execute("create table t (a integer, b text)")
    database.executemany("insert into t values (?, ?)", ((i, "x" * (i % 500)) for i in range(20000)))
    print(database.execute("select count(*), sum(length(b)) from t group by a % 7").fetchall())
    decimal.getcontext().prec = 2000
    print(hash(decimal.Decimal(2).sqrt()), len(re.findall(r"\d+", "a1b22c333" * 10000)))
    child = [sys.executable, "-c", "print(sum(range(10**6)))"]
    print(subprocess.run(child, capture_output=True, text=True, check=True).stdout)
    gc.collect()


if __name__ == "__main__":
    main()
