#!/bin/sh
# The C tests in every build and configuration that changes what they run through.
set -eu
cd "$1"

run() {
    echo "== $*"
    if ! timeout 300 env "$@" >out.log 2>err.log; then
        cat out.log err.log
        echo "failed: $*"
        exit 1
    fi
}

for seed in 1 2; do
    run ./test_stress_address 4 40000 $seed
    run ./test_stress_thread 3 20000 $seed
    run ./test_stress_interposed 4 200000 $seed
done
run ./test_stress_header 3 20000 3
run ./test_stress_registry 3 20000 3
run ./test_api_address
run ./test_pool_address
run ./test_api_thread light
run ./test_api_interposed
for setting in HAKMEM_CLASSIFY=header HAKMEM_CLASSIFY=registry HAKMEM_CLASSIFY=dual HAKMEM_FLAT_MAP=0 \
    HAKMEM_TINY_FAST_CAP=1 HAKMEM_TINY_REFILL_COUNT_HOT=3 HAKMEM_TINY_SLL_DRAIN_INTERVAL=5 HAKMEM_RETAIN_MB=0; do
    run $setting ./test_stress_address 4 20000 4
done
# Every mechanism that is off by default, where slabs travel most.
variants="HAKMEM_TINY_FAST_CAP=1 HAKMEM_TINY_SLL_DRAIN_INTERVAL=5 HAKMEM_DECAY_MS=1 HAKMEM_TINY_FRONT_C23_SIMPLE=1
    HAKMEM_SMALLMID_ENABLE=1 HAKMEM_POOL_STAGE1_LOCKFREE=1 HAKMEM_PREWARM_MB=4 HAKMEM_THP=1"
run $variants ./test_stress_thread 3 20000 6
run $variants HAKMEM_POOL_NODES=5 ./test_stress_address 4 20000 7
run $variants HAKMEM_POOL_STAGE2=0 ./test_stress_interposed 4 100000 8
run HAKMEM_POOL_STAGE1=0 HAKMEM_POOL_STAGE2=0 ./test_stress_address 4 20000 9
run HAKMEM_FORCE_LIBC_ALLOC=1 ./test_stress_interposed 4 20000 4
run HAKMEM_CLASSIFY=header HAKMEM_MINCORE=always ./test_stress_address 2 8000 5
for way in header dual registry; do
    run HAKMEM_CLASSIFY=$way ./test_api_address
done
run HAKMEM_CLASSIFY=dual HAKMEM_FLAT_MAP=0 ./test_api_interposed
run HAKMEM_CLASSIFY=dual ./test_stress_thread 3 20000 10
run HAKMEM_CLASSIFY=dual ./test_safety_interposed
run HAKMEM_FLAT_MAP=0 ./test_api_address
run $variants ./test_api_interposed
run ./test_safety_interposed
run HAKMEM_FLAT_MAP=0 ./test_safety_interposed
run $variants ./test_safety_interposed
run ./test_safety_thread soak 2
echo "C tests: passed"
