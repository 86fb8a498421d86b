"""What waiting costs, beside other providers: run it with `make bench`.

Each contestant waits for N jobs in one event loop, in a fresh process, with its own deferrable
trigger, against a server of ours that speaks like its service. `run.py` is the process of one
contestant, `server.py` that of its server.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import certifi
import psutil  # type: ignore[import-untyped]

from benchmarks import machine, page
from benchmarks.contestants import CONN_ID, CONTESTANTS, INTERVAL, NULL, PEERS

ROOT = Path(__file__).parents[1]
LISTS = ("list_build_flows", "list_apps", "list_runs", "list_deployments")
# How much longer than its longest job a contestant may take, in seconds.
RETRY_TIMEOUT = 240.0
# Up to how many waiters all contestants are measured at the same time, and how often.
FEW = 10
REPEATS = 3
# Up to how many waiters the peers are measured: one of them takes a minute of CPU for these.
MOST_OF_PEERS = 1000


class Child:
    """A process that is talked with in lines of JSON.

    :param arguments: of the Python interpreter.
    :param env: its environment.
    :param log: where its standard error goes.
    """

    def __init__(self, arguments: Sequence[str], env: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("w") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def say(self, **message: Any) -> None:
        """Send a line."""
        assert self._process.stdin
        print(json.dumps(message), file=self._process.stdin, flush=True)

    def hear(self, limit: float) -> dict[str, Any]:
        """Return the next line.

        :param limit: seconds after which the process is ended.
        :raises RuntimeError: the process has ended, by itself or for taking too long.
        """
        assert self._process.stdout
        timer = threading.Timer(limit, self._process.kill)
        timer.start()
        line = self._process.stdout.readline()
        timer.cancel()
        if not line:
            code = self._process.wait()
            said = self._log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the process ended (exit code {code}):\n{said}")
        message: dict[str, Any] = json.loads(line)
        return message

    def end(self) -> None:
        """Let the process end, and see to it."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Others:
    """How much of the machine other processes use meanwhile: they disturb the figures."""

    def __init__(self) -> None:
        self._began, self._before = time.monotonic(), self._busy()

    def share(self, ours: float) -> float:
        """Return the part of all cores that others have used since.

        :param ours: the CPU seconds that were ours.
        """
        passed = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        return float(max(0.0, self._busy() - self._before - ours) / passed)

    def _busy(self) -> float:
        times = psutil.cpu_times()
        return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


class Bench:
    """One run of the benchmark.

    :param folder: for certificates, logs and Airflow's home.
    :param seconds: how long the shortest job takes.
    :param spread: how much longer the longest job takes.
    """

    def __init__(self, folder: Path, seconds: float, spread: float) -> None:
        import trustme  # of the benchmarks' own environment

        self._folder = folder
        self._seconds = seconds
        self._spread = spread
        authority = trustme.CA()
        certificate = folder / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
        # As large as in real life: loading it is a part of what a new client costs.
        bundle = folder / "authorities.pem"
        bundle.write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
        dropped = ("_PROXY", "_CA_BUNDLE", "AIRFLOW", "SSL_CERT", "PYTHONDONTWRITEBYTECODE")
        self._env = {
            name: value
            for name, value in os.environ.items()
            if not any(word in name.upper() for word in dropped)
        } | {
            "AIRFLOW_HOME": str(folder / "airflow"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            "SSL_CERT_FILE": str(bundle),
        }
        self._certificate = str(certificate)

    def measure(self, names: Sequence[str], waiters: int) -> list[dict[str, Any]]:
        """Let contestants wait at the same time, each with a server of its own.

        :param names: the contestants.
        :param waiters: for how many jobs each of them waits.
        :return: the figures of each.
        """
        children: list[Child] = []
        try:
            for name in names:
                children.extend(self._start(name))
            pairs = list(zip(children[::2], children[1::2], strict=True))
            for _, run in pairs:
                run.hear(120)  # it is warm
            for name, (server, run) in zip(names, pairs, strict=True):
                server.say(
                    do="begin",
                    count=waiters,
                    seconds=self._seconds,
                    spread=self._spread,
                    hints=CONTESTANTS[name].hints,
                )
                run.say(**server.hear(30))
            others = Others()
            results = []
            for name, (server, run) in zip(names, pairs, strict=True):
                seen = run.hear(self._seconds + self._spread + RETRY_TIMEOUT)
                server.say(do="report")
                results.append(figures(name, waiters, seen, server.hear(30)))
            share = others.share(sum(r["cpu"] + r["server_cpu"] for r in results))
            return [r | {"others": share} for r in results]
        finally:
            for child in reversed(children):
                child.end()

    def _start(self, name: str) -> tuple[Child, Child]:
        server = Child(
            ["-m", "benchmarks.server", self._certificate],
            self._env,
            self._folder / f"{name}.server.log",
        )
        try:
            connection = json.dumps(CONTESTANTS[name].connection(server.hear(60)["port"]))
            env = self._env | {f"AIRFLOW_CONN_{CONN_ID.upper()}": connection}
            log = self._folder / f"{name}.log"
            return server, Child(["-m", "benchmarks.run", name], env, log)
        except BaseException:
            server.end()
            raise


def measure_all(bench: Bench, names: Sequence[str], waiters: int) -> list[dict[str, Any]]:
    """Measure all contestants with as many waiters as said.

    Few waiters use so little that noise is a part of it, and so little that all contestants can
    run at once: they do so several times, and the run with the median CPU stands for each.

    :return: the figures of each; ``repeats`` has the CPU of all its runs.
    """
    if waiters > FEW:
        results = []
        for name in names:
            results += bench.measure([name], waiters)
            _tell(results[-1])
        return results
    runs = []
    for _ in range(REPEATS):
        runs.append(bench.measure(names, waiters))
        for r in runs[-1]:
            _tell(r)
    medians = []
    for of_one in zip(*runs, strict=True):
        ordered = sorted(of_one, key=lambda r: float(r["cpu"]))
        medians.append(ordered[REPEATS // 2] | {"repeats": [r["cpu"] for r in ordered]})
    return medians


def _tell(r: dict[str, Any]) -> None:
    print(
        f"{r['waiters']:5} x {r['contestant']:27}{r['cpu']:8.2f} CPU s {r['requests']:7,} requests "
        f"{r['connections']:7,} connections   delay p99 {r['delay_p99']:.2f} s",
        f"({r['succeeded']} seen)",
        *r["errors"],
        file=sys.stderr,
        flush=True,
    )


def figures(
    name: str, waiters: int, seen: dict[str, Any], served: dict[str, Any]
) -> dict[str, Any]:
    """Bring together what the contestant and the server have seen.

    :return: CPU, lateness and delay in seconds, memory in bytes.
    """
    calls: dict[str, int] = served["calls"]
    requests = sum(calls.values())
    lists = sum(calls.get(request, 0) for request in LISTS)
    return {
        "contestant": name,
        "waiters": waiters,
        "seconds": seen["seconds"],
        "cpu": seen["cpu"],
        "server_cpu": served["server_cpu"],
        "requests": requests,
        "requests_per_interval": requests / (seen["seconds"] / INTERVAL),
        "requests_per_wait_beside_lists": (requests - lists) / waiters,
        "calls": calls,
        "connections": served["connections"],
        "memory": seen["memory"],
        "lag_p99": percentile(seen["lateness"], 99),
        "lag_max": max(seen["lateness"], default=math.nan),
        "delay_p50": percentile(seen["delays"], 50),
        "delay_p99": percentile(seen["delays"], 99),
        "succeeded": seen["succeeded"],
        "errors": seen["errors"],
    }


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the value that so many percent of the ordered values do not exceed."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def table(results: list[dict[str, Any]]) -> str:
    """Return the figures of all as a Markdown table."""
    lines = [
        "| waiters | who | CPU s | net CPU s | requests | for each interval | connections "
        "| memory MB | loop lag p99 ms (max) | delay p50 s | delay p99 s | seen to succeed |",
        "|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in results:
        net = _net(r, results)
        lines.append(
            f"| {r['waiters']:,} | {r['contestant']} | {r['cpu']:.2f} "
            f"| {'' if net is None else f'{net:.2f}'} "
            f"| {r['requests']:,} | {r['requests_per_interval']:,.1f} | {r['connections']:,} "
            f"| {r['memory'] / 1e6:,.1f} | {r['lag_p99'] * 1e3:,.0f} ({r['lag_max'] * 1e3:,.0f}) "
            f"| {r['delay_p50']:.2f} | {r['delay_p99']:.2f} | {r['succeeded']:,} |"
        )
    return "\n".join(lines)


def ratios(results: list[dict[str, Any]]) -> str:
    """Return ours beside the best peer's, for each number of waiters, as a Markdown table."""
    lines = [
        "| waiters | ours | best peer (its CPU) | our CPU as a part of it, gross | net "
        "| our requests as a part of the least of a peer | calls for each wait, lists aside "
        "| delay p99 in intervals |",
        "|---:|---|---|---:|---:|---:|---:|---:|",
    ]
    for r in results:
        # A peer that missed a job does not count as the best.
        peers = [
            p
            for p in results
            if p["waiters"] == r["waiters"]
            and p["contestant"] in PEERS
            and p["succeeded"] == p["waiters"]
        ]
        if not CONTESTANTS[r["contestant"]].ours or not peers:
            continue
        best = min(peers, key=lambda p: float(p["cpu"]))
        fewest = min(p["requests"] for p in peers)
        lines.append(
            f"| {r['waiters']:,} | {r['contestant']} | {best['contestant']} ({best['cpu']:.2f} s) "
            f"| {_part(r['cpu'], best['cpu'])} "
            f"| {_part(_net(r, results), _net(best, results))} "
            f"| {_part(r['requests'], fewest)} | {r['requests_per_wait_beside_lists']:.2f} "
            f"| {r['delay_p99'] / INTERVAL:.2f} |"
        )
    return "\n".join(lines)


def _net(result: dict[str, Any], results: list[dict[str, Any]]) -> float | None:
    for null in results:
        if null["contestant"] == NULL and null["waiters"] == result["waiters"]:
            return None if result is null else float(result["cpu"] - null["cpu"])
    return None


def _part(ours: float | None, theirs: float | None) -> str:
    if ours is None or theirs is None or theirs <= 0:
        return ""
    if ours <= 0:
        return "0"
    part = ours / theirs
    return f"{part:.2f}" if part > 0.5 else f"1/{1 / part:.1f}"


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--waiters", type=int, nargs="+", default=[1, 10, 100, 1000, 5000])
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    parser.add_argument("--seconds", type=float, default=20.0, help="how long the jobs take")
    parser.add_argument("--spread", type=float, default=5.0, help="how much longer some take")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "benchmarks" / "waiting.json")
    parser.add_argument("--docs", action="store_true", help="also write docs/benchmarks.md")
    args = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="bench-waiting-") as folder:
        bench = Bench(Path(folder), args.seconds, args.spread)
        for waiters in args.waiters:
            names = [n for n in args.only if waiters <= MOST_OF_PEERS or n not in PEERS]
            results += measure_all(bench, names, waiters)
    busiest = max(r["others"] for r in results)
    about = (
        f"{machine.described()} While a contestant ran, other processes used at most "
        f"{busiest:.0%} of the machine."
    )
    shown = "\n\n".join([table(results), ratios(results), about])
    print(shown)
    args.json.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": machine.facts(),
        "seconds": args.seconds,
        "spread": args.spread,
        "interval": INTERVAL,
        "results": results,
    }
    args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if args.docs:
        page.fill("waiting", shown)
    ours = [r for r in results if CONTESTANTS[r["contestant"]].ours]
    if any(r["succeeded"] != r["waiters"] for r in ours):
        raise SystemExit("Some of our own waits did not see their job succeed.")


if __name__ == "__main__":
    main()
