"""Plots of the tables in these pages: made anew whenever the documentation is built."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

DOCS = Path(__file__).parent
OURS = ("DaoCloud", "Enterprise")

mpl.use("svg")
mpl.rcParams |= {
    "svg.hashsalt": "daocloud",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def rows(page: str, mark: str) -> list[dict[str, str]]:
    """Return the first table of a page behind ``<!-- begin mark -->``, a dict for each row."""
    text = (DOCS / page).read_text().split(f"<!-- begin {mark} -->")[1]
    table, *_ = re.findall(r"(?:^\|.*\n)+", text, re.M)
    head, _, *lines = (
        [cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()
    )
    return [dict(zip(head, line, strict=True)) for line in lines]


def number(text: str) -> float:
    """Return a cell's number."""
    return float(text.replace(",", ""))


def save(figure: Any, name: str) -> None:
    """Write a figure."""
    path = DOCS / "images" / f"{name}.svg"
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))


def cost_of_waiting(table: list[dict[str, str]]) -> None:
    """Plot CPU against waits, a line for each contestant."""
    figure, axes = plt.subplots(figsize=(8, 5))
    for who in dict.fromkeys(row["who"] for row in table):
        points = [(number(r["waiters"]), number(r["CPU s"])) for r in table if r["who"] == who]
        ours = who.startswith(OURS)
        axes.plot(*zip(*points, strict=True), marker="o", linewidth=3 if ours else 1, label=who)
    axes.set(xscale="log", yscale="log", xlabel="waits", ylabel="CPU of the waiting process, s")
    axes.legend(loc="upper left", frameon=False, fontsize=9)
    save(figure, "cost-of-waiting")


def delay_and_calls(table: list[dict[str, str]]) -> None:
    """Plot how late an end is seen against the calls that it costs, at a thousand waits."""
    figure, axes = plt.subplots(figsize=(8, 5))
    for row in table:
        if row["waiters"] != "1,000" or not number(row["requests"]):
            continue
        calls, delay = number(row["requests"]) / 1000, number(row["delay p99 s"])
        axes.scatter(calls, delay, s=90 if row["who"].startswith(OURS) else 40)
        axes.annotate(row["who"], (calls, delay), xytext=(7, 4), textcoords="offset points")
    axes.set(xscale="log", yscale="log", xlabel="calls for each wait")
    axes.set_ylabel("delay until an end is seen, p99, s")
    save(figure, "delay-and-calls")


def delay_curve(table: list[dict[str, str]]) -> None:
    """Plot how late an end is seen against the calls that it costs, a line for each way to wait."""
    figure, axes = plt.subplots(figsize=(8, 5))
    for who in dict.fromkeys(row["who"] for row in table):
        found = [row for row in table if row["who"] == who]
        points = [(number(r["calls for each action"]), number(r["p99 (s)"])) for r in found]
        width = 3 if who.startswith("this") else 1
        axes.plot(*zip(*points, strict=True), marker="o", linewidth=width, label=who)
        for row, point in zip(found, points, strict=True):
            text = f"{row['poll interval (s)']} s"
            axes.annotate(text, point, xytext=(5, 4), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", yscale="log", xlabel="calls for each action")
    axes.set_ylabel("delay until an end is seen, p99, s")
    axes.set_xticks([3, 5, 10, 20, 50], ["3", "5", "10", "20", "50"])
    axes.set_yticks([1, 2, 5, 10, 30], ["1", "2", "5", "10", "30"])
    axes.minorticks_off()
    axes.legend(loc="upper right", frameon=False, fontsize=9)
    save(figure, "delay-curve")


def main() -> None:
    """Make all plots."""
    delay_curve(rows("simulated-hour.md", "curve"))
    waiting = rows("benchmarks.md", "waiting")
    cost_of_waiting(waiting)
    delay_and_calls(waiting)


if __name__ == "__main__":
    main()
