"""redis-server on hakmem: filled, benchmarked, saved by a forked child, loaded again; its answers must be the same.

Debian's redis is linked with jemalloc. It asks jemalloc about memory, but its blocks must come from what is preloaded:
/proc/PID/maps names the library, jemalloc's own figure stays near zero, and the counters of hakmem tell the rest."""

import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runs import Failed, Place, Skipped, counted, environment, execute, no_complaint, proven, require, statistics

KEYS = 20000
BENCHMARK = "set,get,incr,lpush,rpush,lpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset"
STARTED_IN = 10.0
LEAST_MALLOCS = 100000


def program(folder: Path) -> Path:
    """redis-server. Debian's redis-tools has it as well, under another name, without the service: the program goes by
    the name that it is called by."""
    found = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if found is None:
        raise Skipped("redis-server not installed (Debian: redis-tools is enough)")
    link = folder / "redis-server"
    link.unlink(missing_ok=True)
    link.symlink_to(found)
    return link


def commands() -> bytes:
    """Strings that grow, lists, hashes, sets, sorted sets; some are deleted again."""
    lines = []
    for i in range(KEYS):
        lines += [f"SET string:{i} {'v' * (1 + i % 700)}", f"APPEND string:{i} {'w' * (1 + i % 90)}"]
        lines += [f"HSET hash:{i % 500} field{i} {i}", f"RPUSH list:{i % 100} {i} {'x' * (1 + i % 40)}"]
        lines += [f"ZADD sorted:{i % 50} {i % 977} member{i}", f"SADD set:{i % 300} {i}"]
        lines += [f"DEL string:{i - 5}"] if i % 3 == 0 else []
    lines += [f"SETRANGE string:{i} {i * 4} end" for i in range(0, KEYS, 97)]
    return "\r\n".join([*lines, ""]).encode()


@dataclass(frozen=True, slots=True)
class Client:
    """redis-cli and redis-benchmark on the server's socket, with the same library as the server."""

    socket: Path
    library: Path | None

    def ask(self, *command: str, given: bytes | None = None) -> str:
        done = subprocess.run(
            ["redis-cli", "-s", str(self.socket), *command], env=environment(self.library, {}), input=given,
            stdin=None if given is not None else subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        no_complaint(done.stderr.decode())
        if done.returncode != 0 or done.stdout.startswith(b"ERR"):
            raise Failed(f"redis-cli {' '.join(command)}: {(done.stdout + done.stderr).decode()[:500]}")
        return done.stdout.decode().strip()

    def number(self, section: str, name: str) -> int:
        found = re.search(rf"^{name}:(\d+)", self.ask("INFO", section), re.MULTILINE)
        if found is None:
            raise Failed(f"INFO {section} has no {name}")
        return int(found[1])

    def benchmark(self) -> None:
        load = ("-n", "5000", "-c", "20", "-P", "4", "-d", "100", "-q", "-t", BENCHMARK)
        command = ["redis-benchmark", "-s", str(self.socket), *load]
        ended = execute(command, self.socket.parent, self.library)
        no_complaint(ended.errors)
        told = len(re.findall(rb"requests per second", ended.output))
        if ended.status != 0 or told < BENCHMARK.count(","):
            raise Failed(f"redis-benchmark: status {ended.status}, {told} results: {ended.errors}")


Running = tuple[subprocess.Popen[bytes], Client]


@contextmanager
def server(folder: Path, library: Path | None, changes: dict[str, str]) -> Iterator[Running]:
    work = folder / "data"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    socket = work / "socket"
    command = [str(program(folder)), "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no",
               "--dir", str(work), "--enable-debug-command", "local"]  # fmt: skip
    with (work / "log").open("wb") as log:
        running = subprocess.Popen(
            command, env=environment(library, changes), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait_for(socket, running)
        yield running, Client(socket, library)
    finally:
        if running.poll() is None:
            running.send_signal(signal.SIGKILL)
        running.wait()


def wait_for(socket: Path, running: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTED_IN
    while not socket.exists():
        if running.poll() is not None or time.monotonic() > until:
            raise Failed(f"redis-server did not start: {(socket.parent / 'log').read_text(errors='replace')}")
        time.sleep(0.02)


def resident_bytes(pid: int) -> int:
    """At this moment; INFO memory tells what a timer saw last."""
    return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * resource.getpagesize()


def saved_and_loaded(client: Client, folder: Path) -> None:
    """A forked child writes the data while the server goes on; the server reads it back."""
    client.ask("BGSAVE")
    until = time.monotonic() + STARTED_IN
    while client.number("persistence", "rdb_bgsave_in_progress"):
        if time.monotonic() > until:
            raise Failed("BGSAVE does not end")
        time.sleep(0.05)
    if "rdb_last_bgsave_status:ok" not in client.ask("INFO", "persistence"):
        raise Failed("BGSAVE failed")
    if not (folder / "data" / "dump.rdb").exists() or client.ask("DEBUG", "RELOAD") != "OK":
        raise Failed("what BGSAVE wrote cannot be loaded")


def session(place: Place, library: Path | None, changes: dict[str, str]) -> tuple[list[str], str]:
    """Answers that must not depend on the allocator, and in words what it did."""
    with server(place.folder, library, changes) as (running, client):
        answers = [client.ask("--pipe", given=commands()).splitlines()[-1], client.ask("DEBUG", "DIGEST")]
        used = client.number("memory", "used_memory")
        if library is not None:
            maps = Path("/proc", str(running.pid), "maps").read_text()
            if str(library) not in maps:
                raise Failed(f"{library} is not mapped by the server")
            elsewhere = client.number("memory", "allocator_allocated")
            if elsewhere > used / 10:
                raise Failed(f"jemalloc itself served {elsewhere} of {used} bytes")
        resident = resident_bytes(running.pid)
        saved_and_loaded(client, place.folder)
        answers.append(client.ask("DEBUG", "DIGEST"))
        client.benchmark()
        answers += [client.ask("FLUSHALL"), client.ask("DBSIZE")]
        left = resident_bytes(running.pid)
        client.ask("SHUTDOWN", "NOSAVE")
        status = running.wait(timeout=STARTED_IN)
    log = (place.folder / "data" / "log").read_text(errors="replace")
    no_complaint(log)
    if status != 0:
        raise Failed(f"the server ended with status {status}: {log[-2000:]}")
    return answers, f"{used >> 20} MB used, {resident >> 20} MB resident, {left >> 20} MB after all was deleted"


@dataclass(frozen=True, slots=True)
class RedisServer:
    """The whole session without hakmem, on the release flavour, and counted on the instrumented one."""

    def check(self, place: Place) -> str:
        require("redis-cli", "redis-benchmark")
        place.fresh()
        expected, _ = session(place, None, {})
        told = ""
        for library, changes in ((place.release, {}), (place.instrumented, statistics(place.folder))):
            answers, words = session(place, library, changes)
            if answers != expected:
                raise Failed(f"answers {answers} instead of {expected}")
            told = told or words
        return f"{told}; {proven(counted(place.folder), processes=1, mallocs=LEAST_MALLOCS)}"
