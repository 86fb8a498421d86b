"""What the import of this provider costs, beside other providers: run it with `make bench-imports`.

Every DAG file that names an operator pays for its import, in every process that parses the file. So
each contestant's operators, sensors, triggers and hook are imported in a fresh process that has
already imported Airflow's own base classes and the compat module, and only what comes on top is
counted. The contestants take turns, so that whatever else the machine does strikes all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import machine, page

OURS = "daocloud"
CONTESTANTS = {
    OURS: [
        "airflow_provider_daocloud.operators.daocloud",
        "airflow_provider_daocloud.sensors.daocloud",
        "airflow_provider_daocloud.triggers.daocloud",
        "airflow_provider_daocloud.hooks.daocloud",
    ],
    "dbt-cloud": [
        "airflow.providers.dbt.cloud.operators.dbt",
        "airflow.providers.dbt.cloud.sensors.dbt",
        "airflow.providers.dbt.cloud.triggers.dbt",
        "airflow.providers.dbt.cloud.hooks.dbt",
    ],
    "airbyte": [
        "airflow.providers.airbyte.operators.airbyte",
        "airflow.providers.airbyte.sensors.airbyte",
        "airflow.providers.airbyte.triggers.airbyte",
        "airflow.providers.airbyte.hooks.airbyte",
    ],
    "databricks": [
        "airflow.providers.databricks.operators.databricks",
        "airflow.providers.databricks.sensors.databricks",
        "airflow.providers.databricks.triggers.databricks",
        "airflow.providers.databricks.hooks.databricks",
    ],
}
HTTP_LIBRARIES = ("requests", "httpx", "aiohttp")

# Runs in the fresh process; prints one line of JSON.
_PROBE = """
import importlib, json, sys, time

import airflow.providers.common.compat.connection
import airflow.providers.common.compat.sdk as compat
import airflow.triggers.base
# The module resolves its names lazily: importing it alone would import nothing.
for name in ("BaseHook", "BaseOperator", "BaseSensorOperator", "BaseOperatorLink", "Connection",
             "AirflowException", "AirflowFailException", "AirflowSensorTimeout",
             "AirflowSkipException", "AirflowNotFoundException", "PokeReturnValue", "conf",
             "timezone"):
    getattr(compat, name)

modules, libraries, evict = json.loads(sys.argv[1])
def loaded():
    return {name for name in libraries if name in sys.modules}
before = loaded()
if evict:
    for name in [n for n in sys.modules if n.partition(".")[0] in libraries]:
        del sys.modules[name]
at_start = loaded()
count, wall, cpu = len(sys.modules), time.perf_counter(), time.process_time()
for module in modules:
    importlib.import_module(module)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps({"wall": wall, "cpu": cpu, "modules": len(sys.modules) - count,
                  "in_baseline": sorted(before), "new": sorted(loaded() - at_start)}))
"""


def measure(modules: list[str], env: dict[str, str], *, evict: bool = False) -> dict[str, Any]:
    """Import modules in a fresh process.

    :param modules: what to import, in this order.
    :param env: the environment of the process.
    :param evict: whether to forget the HTTP libraries that the baseline has loaded, so that an
        import of them shows even so.
    :return: seconds (``wall``, ``cpu``), how many modules came, and which HTTP libraries.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, json.dumps([modules, HTTP_LIBRARIES, evict])],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"The import of {modules} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run(repetitions: int) -> dict[str, Any]:
    """Measure all contestants in turns.

    :param repetitions: how often each is measured, after one round that only warms the caches.
    :return: the figures of each contestant, times in seconds.
    """
    with tempfile.TemporaryDirectory(prefix="bench-imports-") as home:
        # Byte code is written once, in the round that warms up.
        env = os.environ | {"AIRFLOW_HOME": home, "PYTHONPATH": str(Path(__file__).parents[1])}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        samples: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTESTANTS}
        for turn in range(repetitions + 1):
            for name, modules in CONTESTANTS.items():
                sample = measure(modules, env)
                if turn:
                    samples[name].append(sample)
        evicted = {name: measure(modules, env, evict=True) for name, modules in CONTESTANTS.items()}
    return {
        name: {
            "wall_median": statistics.median(s["wall"] for s in taken),
            "wall_min": min(s["wall"] for s in taken),
            "wall_max": max(s["wall"] for s in taken),
            "cpu_median": statistics.median(s["cpu"] for s in taken),
            "modules": taken[0]["modules"],
            "http_libraries_in_baseline": taken[0]["in_baseline"],
            "http_libraries_new": sorted({lib for s in taken for lib in s["new"]}),
            "http_libraries_imported": evicted[name]["new"],
        }
        for name, taken in samples.items()
    }


def table(figures: dict[str, Any]) -> str:
    """Return the figures as a Markdown table."""
    best = min(f["wall_median"] for name, f in figures.items() if name != OURS)
    lines = [
        "| provider | ms (median) | min to max | CPU ms (median) | of the best peer | modules "
        "| HTTP libraries newly loaded | imported, were none loaded before |",
        "|---|---:|---:|---:|---:|---:|---|---|",
    ]
    for name, f in figures.items():
        lines.append(
            f"| {name} | {f['wall_median'] * 1e3:.1f} "
            f"| {f['wall_min'] * 1e3:.1f} to {f['wall_max'] * 1e3:.1f} "
            f"| {f['cpu_median'] * 1e3:.1f} | {f['wall_median'] / best:.2f} | {f['modules']} "
            f"| {', '.join(f['http_libraries_new']) or 'none'} "
            f"| {', '.join(f['http_libraries_imported']) or 'none'} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--docs", action="store_true", help="also write docs/benchmarks.md")
    args = parser.parse_args()
    figures = run(args.repetitions)
    baseline = ", ".join(figures[OURS]["http_libraries_in_baseline"]) or "none"
    shown = (
        f"{table(figures)}\n\nAlready loaded by Airflow's own base classes: {baseline}.\n"
        f"{args.repetitions} fresh processes each, in turns. {machine.described()}"
    )
    print(shown)
    if args.docs:
        page.fill("imports", shown)
    if args.json:
        report = {"machine": machine.facts(), "repetitions": args.repetitions, "imports": figures}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
