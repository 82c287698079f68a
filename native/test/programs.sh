#!/bin/sh
# Real programs on hakmem by LD_PRELOAD, normally and where address space is short. What is not installed is named and skipped.
#
#     programs.sh LIBRARY
set -eu
library=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

# run NAME COMMAND…: the command's output must equal what it prints without hakmem, and stderr must not complain.
run() {
    name=$1
    shift
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "-- $name: $1 is not installed, skipped"
        return 0
    fi
    "$@" >expected 2>/dev/null
    if ! LD_PRELOAD=$library timeout 120 "$@" >actual 2>errors || grep -q '\[hakmem\]' errors || ! cmp -s expected actual; then
        echo "failed: $name"
        cat errors
        exit 1
    fi
    echo "ok $name"
}

cat >work.py <<'PY'
import decimal, gc, hashlib, json, re, sqlite3, subprocess, sys, threading, zlib

def job(results, index):
    data = [{"key": str(i), "value": [i] * (i % 50)} for i in range(3000)]
    text = json.dumps(data)
    assert json.loads(text) == data
    results[index] = hashlib.sha256(zlib.compress(text.encode())).hexdigest()

results = [None] * 4
threads = [threading.Thread(target=job, args=(results, i)) for i in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
db = sqlite3.connect(":memory:")
db.execute("create table t (a integer, b text)")
db.executemany("insert into t values (?, ?)", ((i, "x" * (i % 500)) for i in range(20000)))
print(set(results), db.execute("select count(*), sum(length(b)) from t group by a % 7").fetchall())
decimal.getcontext().prec = 2000
print(hash(decimal.Decimal(2).sqrt()), len(re.findall(r"\d+", "a1b22c333" * 10000)))
print(subprocess.run([sys.executable, "-c", "print(sum(range(10**6)))"], capture_output=True, text=True).stdout)
gc.collect()
PY
cat >work.c <<'C'
#include <stdio.h>
struct node { struct node *next; int value; };
int main(int argc, char **argv) { (void)argv; printf("%d\n", argc); return 0; }
C
cat >work.sql <<'SQL'
create table t (a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) insert into t select i, hex(i * i) from n;
create index by_b on t (b);
select count(*), min(b), max(b) from t where b like '%3%';
SQL
seq 1 200000 | awk '{ print ($1 * 7919) % 200003, $1 }' >numbers
git init -q repository 2>/dev/null && (cd repository && cp ../work.* . && git add . &&
    git -c user.name=test -c user.email=test@localhost commit -q -m "first") || true

run "python3 with threads, json, sqlite3, subprocess" python3 work.py
run "python3 imports" python3 -c "import json, decimal, sqlite3, threading, xml.dom.minidom, unittest, ctypes; print('imported')"
run "git status" git -C repository status --short
run "git log" git -C repository log --format=%s --stat
run "git gc" git -C repository gc -q
run "gcc -O2 -c" gcc -O2 -Wall -c work.c -o work.o
run "gcc link and run" sh -c "gcc -O2 work.c -o work && ./work 1 2"
run "sort" sort -n numbers
run "sort --parallel" sort --parallel=4 -S 1M numbers
run "perl" perl -e 'my %h; $h{$_ % 9973} .= "x" x ($_ % 100) for 1..200000; print length(join "", values %h), "\n"'
run "awk" awk '{ s[$1 % 1000] += $2 } END { for (i = 0; i < 1000; i++) t += s[i]; print t }' numbers
run "xz" sh -c "xz -T2 -c numbers | xz -dc | cksum"
run "sqlite3" sqlite3 :memory: ".read work.sql"
run "bash" bash -c 'a=(); for i in {1..20000}; do a+=("$i$i"); done; echo ${#a[@]} ${a[19999]}'
run "make" make --version

# CPython's own tests, where they are installed. What fails must fail without hakmem too.
for module in test_json test_dict test_list test_mmap test_gc test_memoryview test_thread test_ctypes; do
    if ! python3 -c "import test.$module" >/dev/null 2>&1; then
        echo "-- test.$module is not installed, skipped"
        continue
    fi
    if ! LD_PRELOAD=$library timeout 120 python3 -m unittest -q test.$module >/dev/null 2>errors; then
        python3 -m unittest -q test.$module >/dev/null 2>expected || true
        grep -E '^(FAIL|ERROR):' errors | sort >failed
        if ! test -s failed || ! grep -E '^(FAIL|ERROR):' expected | sort | cmp -s - failed; then
            echo "failed: test.$module"
            cat errors
            exit 1
        fi
    fi
    echo "ok python3 -m unittest test.$module"
done

# Address space too short for the flat map (8 GB), then too short for comfort: degraded, never aborted.
run "python3 under ulimit -v 1000000" sh -c "ulimit -v 1000000; exec python3 work.py"
run "sort under ulimit -v 150000" sh -c "ulimit -v 150000; exec sort -S 1M -n numbers"
run "perl under ulimit -v 60000" sh -c "ulimit -v 60000; exec perl -e 'my @a = map { \"x\" x \$_ } 1..2000; print scalar(@a)'"
for setting in HAKMEM_CLASSIFY=header HAKMEM_CLASSIFY=registry HAKMEM_FLAT_MAP=0 HAKMEM_FORCE_LIBC_ALLOC=1 HAKMEM_RETAIN_MB=0; do
    run "python3 with $setting" env $setting python3 work.py
done
if command -v valgrind >/dev/null 2>&1; then
    LD_PRELOAD=$library valgrind -q --tool=none sort -n numbers >actual
    sort -n numbers >expected
    cmp expected actual
    echo "ok sort under valgrind"
fi
echo "programs: passed"
