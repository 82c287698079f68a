#!/usr/bin/env bash
# Record what the repository keeps: a case of traces/ or a report of reports/, from a clean clone in a neutral place, so that
# neither a home folder nor a host name gets into a published file.
# usage: scripts/record.sh trace NAME [STUDY]      traces/NAME from a quick run
#        scripts/record.sh report STUDY            reports/STUDY/report.md with its charts from a full run
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
kind=${1:?usage: scripts/record.sh trace|report NAME [STUDY]}
name=${2:?usage: scripts/record.sh trace|report NAME [STUDY]}
study=${3:-$name}
work=/tmp/hakprof
hakprof=$here/.venv/bin/hakprof

[ ! -e "$work" ] || { echo "$work exists: remove it first" >&2; exit 2; }
trap 'rm -rf "$work"' EXIT
git clone -q . "$work"

# The recorded host name is part of perf.data; a name space of its own gives it a neutral one where that is permitted.
neutral=(env)
unshare --uts true 2>/dev/null && neutral=(unshare --uts sh -c 'hostname localhost && exec "$@"' sh)
collect() { (cd "$work" && "${neutral[@]}" "$hakprof" collect --project "$work/hakprof.toml" "$@"); }

case $kind in
trace)
    run=$(collect --quick "$study")
    rm -rf "traces/$name"
    "$hakprof" pack "$run" "traces/$name"
    ;;
report)
    run=$(collect "$study")
    rm -rf "reports/$name"
    "$hakprof" report "$run" -o "reports/$name" >/dev/null
    rm "reports/$name/report.json" # half a megabyte that says what report.md says
    ;;
*)
    echo "neither trace nor report: $kind" >&2
    exit 2
    ;;
esac
