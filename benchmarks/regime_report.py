"""The regimes as Markdown: a table for each layout, what was faster where, and a summary."""

from collections.abc import Iterable
from typing import Any

from benchmarks.regime_peers import AGAIN, NEW, ORDERED, OURS, TEXT
from benchmarks.report import format_bytes, format_ms, format_table

NOT_PEERS = (OURS, AGAIN, NEW, TEXT, ORDERED)
MIN_SECONDS = 30e-6  # cells below are not held to MIN_RATIO
MIN_RATIO = 0.8


def format_report(measured: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    cells = measured["cells"]
    versions = ", ".join(f"{name} {number}" for name, number in measured["versions"].items())
    head = (
        f"{measured['date']}, commit {measured['commit']}, {measured['machine']['cpu']},"
        f" {measured['machine']['cores']} cores; {versions}. numpy reads {measured['bandwidth'] / 1e9:.1f} GB a second;"
        f" a process had at most {format_bytes(measured['peak_bytes'])}."
    )
    skipped = [f"Not measured: {name}: {reason}." for name, reason in measured["skipped"].items()]
    tables = [
        f"**{layout}**, {group[0]['devices']:,} devices, {measure}\n\n{format_cells(group)}"
        for (layout, measure), group in group_cells(cells, "layout", "measure").items()
    ]
    return "\n\n".join([head, *skipped, format_summary(cells), *tables, format_losses(cells)])


def group_cells(cells: list[dict[str, Any]], *names: str) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for cell in cells:
        groups.setdefault(tuple(cell[name] for name in names), []).append(cell)
    return groups


def format_cells(cells: list[dict[str, Any]]) -> str:
    peers = list(dict.fromkeys(name for cell in cells for name in cell["seconds"] if name not in NOT_PEERS))
    others = [name for name in (ORDERED, AGAIN, NEW, TEXT) if any(name in cell["seconds"] for cell in cells)]
    rows = []
    for cell in cells:
        ours, (peer, variant, best) = fastest(cell, OURS), find_best_peer(cell)
        rows.append(
            (
                cell["form"],
                cell["tags"],
                format_ms(ours),
                f"{best / ours:.2f}" if peer else "",
                f"{peer}: {variant}" if peer else "",
                f"{ours / cell['limit']:.1f}",
                *(format_fastest(cell, name) for name in (*peers, *others)),
            )
        )
    columns = ("form", "tags", "audience ms", "best peer ×", "best peer", "limit ×")
    return format_table((*columns, *(f"{name} ms" for name in (*peers, *others))), rows)


def fastest(cell: dict[str, Any], library: str) -> float:
    return min(cell["seconds"][library].values())


def format_fastest(cell: dict[str, Any], library: str) -> str:
    """Return the milliseconds of *library*, or nothing if it was not asked: few tags have few different questions."""
    return format_ms(fastest(cell, library)) if library in cell["seconds"] else ""


def find_best_peer(cell: dict[str, Any]) -> tuple[str, str, float]:
    """Return the name, the variant and the seconds of the fastest peer; without peers an empty name."""
    ways = [
        (name, variant, seconds)
        for name, variants in cell["seconds"].items()
        if name not in NOT_PEERS
        for variant, seconds in variants.items()
    ]
    return min(ways, key=lambda way: way[2], default=("", "", float("nan")))


def peer_ratio(cell: dict[str, Any]) -> float:
    return find_best_peer(cell)[2] / fastest(cell, OURS)


def format_summary(cells: list[dict[str, Any]]) -> str:
    """Return for each layout how often the index is fastest, and how often it is too far behind."""
    head = (
        "layout",
        "measure",
        "cells",
        "fastest",
        "share",
        f"below {MIN_RATIO}, over 30 µs",
        "lowest of those over 30 µs",
    )
    groups: Iterable[tuple[tuple[str, ...], list[dict[str, Any]]]] = group_cells(cells, "layout", "measure").items()
    rows = []
    for names, group in (*groups, *(((("all"), key[0]), some) for key, some in group_cells(cells, "measure").items())):
        ratios = [(peer_ratio(cell), fastest(cell, OURS)) for cell in group]
        won = sum(ratio >= 1 for ratio, _ in ratios)
        long = [ratio for ratio, seconds in ratios if seconds > MIN_SECONDS]
        rows.append(
            (
                *names,
                str(len(group)),
                str(won),
                f"{won / len(group):.0%}",
                str(sum(ratio < MIN_RATIO for ratio in long)),
                f"{min(long):.2f}" if long else "",
            )
        )
    return format_table(head, rows)


def format_losses(cells: list[dict[str, Any]]) -> str:
    """Return the cells in which a peer is faster, by layout and peer: those over and those under 30 µs."""
    lost = sorted((cell for cell in cells if peer_ratio(cell) < 1), key=peer_ratio)
    if not lost:
        return "No peer is faster in any cell."
    lines = []
    for (layout, measure), group in group_cells(lost, "layout", "measure").items():
        for peer in dict.fromkeys(find_best_peer(cell)[0] for cell in group):
            same = [cell for cell in group if find_best_peer(cell)[0] == peer]
            for is_long, label in ((True, "over 30 µs"), (False, "under 30 µs")):
                some = [cell for cell in same if (fastest(cell, OURS) > MIN_SECONDS) == is_long]
                listed = ", ".join(f"{cell['form']} of {cell['tags']} ({peer_ratio(cell):.2f})" for cell in some)
                lines += [f"- **{peer}**, {layout}, {measure}, {label}: {listed}"] if some else []
    return "**Where a peer is faster**, with its time as a part of ours:\n\n" + "\n".join(lines)
