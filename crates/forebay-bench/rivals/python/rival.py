#!/usr/bin/env python3
"""A contender of forebay's bench in Python: a connection for each thread, one row in each transaction, retries by hand."""

import json
import math
import platform
import queue
import sqlite3
import sys
import threading
import time

PROTOCOL = 1
RETRIES = 5
DELAY = 0.1  # Seconds before the first retry; twice as long before each that follows.
LOOK = 0.02  # Seconds between two looks whether the trial is over, while waiting for a call's time.
EPOCH = 1_700_000_000_000
WARM_UP, MEASURED, OVER = range(3)


class Failed(Exception):
    """What was tried and why it failed, for the person who runs the bench."""


def line():
    text = sys.stdin.readline()
    if not text:
        raise Failed("standard input has ended: this program is started by `forebay bench`")
    return text


def answer(kind, content):
    print(json.dumps({kind: content}), flush=True)


def read_request():
    try:
        request = json.loads(line())
        protocol = request["protocol"]
    except (ValueError, TypeError, KeyError) as error:
        raise Failed(f"the request cannot be read, it must be one line of JSON: {error!r}") from error
    if protocol != PROTOCOL:
        raise Failed(
            f"the request speaks version {protocol} of the protocol, and this program version {PROTOCOL}: "
            "take both from one source"
        )
    return request


def connect(request):
    """Opens a connection as the application had it, with the request's settings, and reads them back."""
    settings = request["settings"]
    timeout = settings["busy_timeout_seconds"]
    connection = sqlite3.connect(request["database"], timeout=timeout, check_same_thread=False)
    synchronous = settings["synchronous"]
    pragmas = {
        "synchronous": (synchronous, {"normal": 1, "full": 2}[synchronous]),
        "cache_size": (-settings["cache_kib"],) * 2,
        "wal_autocheckpoint": (settings["checkpoint_pages"],) * 2,
        "foreign_keys": ("ON", 1),
    }
    for name, (value, _) in pragmas.items():
        connection.execute(f"PRAGMA {name}={value}")
    expected = {name: value for name, (_, value) in pragmas.items()}
    expected.update(journal_mode=settings["journal_mode"], busy_timeout=round(timeout * 1000))
    for name, value in expected.items():
        (found,) = connection.execute(f"PRAGMA {name}").fetchone()
        if found != value:
            raise Failed(f"PRAGMA {name} is {found}, not {value} as asked for")
    return connection


# Keys from the first of one worker to the first of the next, where every row has a new one.
RANGE = 1 << 32


def stride(share):
    nearest = max(1, math.floor(share * 0.618 + 0.5))
    while math.gcd(nearest, share) != 1:
        nearest += 1
    return nearest % max(share, 2)


class Trial:
    """What all workers share."""

    def __init__(self, request):
        self.request = request
        if "topics" not in request["rows"]:
            raise Failed(f"{request['contender']} writes the bench's own rows only, not those of a table")
        topics = request["rows"]["topics"]
        self.keys = topics.get("keys")
        self.statuses = [word.ljust(topics["status_bytes"], ".") for word in ("queued", "running", "done")]
        self.total = max(1, request["workers"]["total"])
        self.sql = request["target"]["sql"]
        self.step = 1 / request["rate"] if request.get("rate") else None
        self.phase = WARM_UP
        self.over = threading.Event()
        self.failures = queue.Queue()


class Worker:
    """A thread with its connection."""

    def __init__(self, trial, index):
        self.trial, self.index = trial, index
        self.connection = connect(trial.request)
        self.share = max(1, -(-max(0, trial.keys - index) // trial.total)) if trial.keys is not None else None
        self.stride = stride(self.share) if self.share else 1
        self.start = self.share * index // trial.total % self.share if self.share else 0
        self.acknowledged = self.lock_errors = self.retries = self.given_up = 0
        self.latencies = {}

    def row(self, number):
        if self.share:
            key = self.index + self.trial.total * ((self.start + number * self.stride) % self.share)
            tick = number
        else:
            key = tick = self.index * RANGE + number
        return key, self.trial.statuses[number % 3], number, EPOCH + tick

    def attempt(self, row):
        self.connection.execute(self.trial.sql, row)
        self.connection.commit()

    def write(self, row):
        for retry in range(RETRIES + 1):
            try:
                self.attempt(row)
                self.acknowledged += 1
                return
            except sqlite3.OperationalError as error:
                if "database is locked" not in str(error):
                    raise
                self.connection.rollback()
                self.lock_errors += 1
                if retry < RETRIES:
                    self.retries += 1
                    # Ends early, for a last attempt, when the trial is over.
                    self.trial.over.wait(DELAY * 2**retry)
        self.given_up += 1

    def wait_until(self, intended):
        """False when the trial was over before."""
        while self.trial.phase != OVER:
            left = (intended - time.perf_counter_ns()) / 1e9
            if left <= 0:
                return True
            self.trial.over.wait(min(left, LOOK))
        return False

    def work(self, begun):
        trial, call = self.trial, 0
        while trial.phase != OVER:
            intended = None
            if trial.step:
                intended = begun + int((call * trial.total + self.index) * trial.step * 1e9)
                if not self.wait_until(intended):
                    break
                call += 1
            timed = trial.phase == MEASURED
            since = intended or time.perf_counter_ns()
            self.write(self.row(self.acknowledged))
            if timed:
                self.record(time.perf_counter_ns() - since)

    def record(self, nanoseconds):
        """Keeps two digits."""
        unit = 10 ** max(0, len(str(nanoseconds)) - 2)
        rounded = max(1, round(nanoseconds / unit) * unit)
        self.latencies[rounded] = self.latencies.get(rounded, 0) + 1

    def run(self, begun):
        try:
            self.work(begun)
            self.connection.close()
        except Exception as error:  # Whatever it is, the bench is told.
            self.trial.failures.put(error)


def number_in(file, name):
    """The number after a name, and None where the system does not tell."""
    try:
        with open(file) as lines:
            return next(int(text.split()[1]) for text in lines if text.startswith(name))
    except (OSError, StopIteration):
        return None


def wait(trial, seconds):
    try:
        failure = trial.failures.get(timeout=seconds)
    except queue.Empty:
        return
    trial.phase = OVER
    trial.over.set()
    raise failure


def run(request):
    trial = Trial(request)
    first, count = request["workers"]["first"], request["workers"]["count"]
    workers = [Worker(trial, index) for index in range(first, first + count)]
    answer("ready", {})
    if (word := line().strip()) != "go":
        raise Failed(f"instead of `go` came {word!r}")

    def look():
        return sum(worker.acknowledged for worker in workers), time.perf_counter()

    cpu, written = time.process_time(), number_in("/proc/self/io", "wchar:")
    begun = time.perf_counter_ns()
    threads = [threading.Thread(target=worker.run, args=(begun,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    wait(trial, request["warm_up_seconds"])
    trial.phase = MEASURED
    rows_before, measured_from = look()
    wait(trial, request["seconds"])
    rows_after, measured_to = look()
    trial.phase = OVER
    trial.over.set()
    for thread in threads:
        thread.join()
    if not trial.failures.empty():
        raise trial.failures.get()
    latency = {}
    for worker in workers:
        for nanoseconds, calls in worker.latencies.items():
            latency[nanoseconds] = latency.get(nanoseconds, 0) + calls
    memory, written_now = number_in("/proc/self/status", "VmHWM:"), number_in("/proc/self/io", "wchar:")
    return {
        "workers": "threads",
        "versions": {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version},
        "seconds": measured_to - measured_from,
        "rows": rows_after - rows_before,
        "acknowledged": [worker.acknowledged for worker in workers],
        "latency": sorted(latency.items()),
        "cpu_seconds": time.process_time() - cpu,
        "peak_memory_bytes": memory and memory * 1024,
        "written_bytes": None if written is None else written_now - written,
        "transactions": sum(worker.acknowledged for worker in workers),
        "lock_errors": sum(worker.lock_errors for worker in workers),
        "retries": sum(worker.retries for worker in workers),
        "given_up": sum(worker.given_up for worker in workers),
    }


def main():
    try:
        answer("outcome", run(read_request()))
    except Exception as error:  # Each failure is an answer.
        answer("failed", {"message": str(error) if isinstance(error, Failed) else f"{type(error).__name__}: {error}"})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
