"""What commands print: results to standard output, problems to standard error, each for people or as JSON."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import orjson
import polars as pl

from audience.errors import Problem
from audience.index import DeviceIndex
from audience.index.change import Change
from audience.index.snapshot import Known, Snapshot
from audience.language.checks import few
from audience.language.expr import Atom, Expr, Ids, Segment, rewritten
from audience.language.render import render
from audience.plan import Plan
from audience.screen import table, wrapped_table
from audience.vendors.base import Vendor, dump

MOST_IDS, FIRST_IDS = 20, 8  # that a list on a screen may have, and how many of a longer one are shown


def info(index: DeviceIndex, json: bool) -> None:
    """Print what *index* holds."""
    snapshot, manifest = index.snapshot, index.snapshot.manifest
    attributes: list[dict[str, Any]] = [
        {"name": each.name, "kind": each.role, "values": each.distinct, "digits": each.digits, "most": _most(each)}
        for each in snapshot.attributes.values()
    ]
    shards: list[dict[str, Any]] = [
        {"name": shard.name, "devices": shard.devices, "rows": shard.rows, "bytes": sum(shard.files.sizes.values())}
        for shard in snapshot.shards
    ]
    if json:
        facts = {"devices": len(index), "snapshot": manifest.number, "made": manifest.made, "what": manifest.what}
        facts |= {"ids": snapshot.ids, "segments": manifest.segments}
        result({**facts, "attributes": attributes, "shards": shards}, json, "")
        return
    size = sum(shard["bytes"] for shard in shards)
    dead = sum(shard["rows"] - shard["devices"] for shard in shards)
    many = f" in {len(shards)} shards" if len(shards) > 1 else ""
    gone = f" with {dead:,} dead rows" if dead else ""
    ids = ", ".join(snapshot.ids)
    sys.stdout.write(f"{index.folder}: {len(index):,} devices{many}{gone}, {size / 1e6:,.1f} MB, ids {ids}\n")
    sys.stdout.write(f"snapshot {manifest.number} of {manifest.made}, {manifest.what}\n")
    if manifest.segments:
        sys.stdout.write(f"segments {few([render(Segment(name)) for name in manifest.segments])}\n")
    rows = [(a["name"], a["kind"], f"{a['values']:,}", ", ".join(a["most"]) or _digits(a)) for a in attributes]
    table(("attribute", "kind", "values", "most frequent"), rows)


def changed(change: Change, before: Snapshot, index: DeviceIndex, json: bool) -> None:
    """Print what *change* did to *index*, which was *before*."""
    facts = {**asdict(change), "devices": len(index)}
    if change.snapshot == before.manifest.number:
        result(facts, json, f"nothing to change: snapshot {change.snapshot} stays")
        return
    done = ((change.changed, "changed"), (change.added, "added"), (change.removed, "removed"))
    parts = [f"{many:,} {what}" for many, what in done if many]
    result(facts, json, f"snapshot {change.snapshot}: {', '.join([*parts, f'{len(index):,} devices'])}")


def _most(attribute: Known) -> list[str]:
    """The values that most devices have."""
    counts = attribute.counts().sort("devices", "value", descending=[True, False])
    return counts.filter(pl.col("devices") > 0)["value"].head(4).to_list()


def _digits(attribute: dict[str, Any]) -> str:
    return f"kept as {attribute['digits']} binary digits" if attribute["digits"] else ""


def vendors_table(records: Sequence[Vendor], json: bool) -> None:
    """Print what each vendor can say, its limits, the page that they come from and the day it was read."""
    if json:
        result([_facts(record) for record in records], json, "")
        return
    rows = [([record.name], _said_of(record), _limits(record)) for record in records]
    wrapped_table(("vendor", "can say", "limits"), rows, (11, 77, 32))
    pages = [([record.name], [record.read_on], [record.page]) for record in records]
    sys.stdout.write("\n")
    wrapped_table(("vendor", "read on", "the page that says so"), pages, (11, 12, 97), gap=False)


def _said_of(record: Vendor) -> list[str]:
    read_only = [f"read only: {record.reads_only}"] if record.reads_only else []
    sent_to = [f"sent to by {', '.join(_ways(record))}; keys {_keys(record)}"] if record.delivery else []
    return [record.title, record.fragment, *read_only, *sent_to]


def _ways(record: Vendor) -> list[str]:
    """The ways that a vendor is sent to by, as the option --way names them."""
    if record.delivery is None:
        return []
    return list(dict.fromkeys(way.name for way in (record.delivery.native, *record.delivery.ways)))


def _keys(record: Vendor) -> str:
    """What has to be known of an application, and what may be."""
    if record.delivery is None:
        return ""
    return ", ".join([*record.delivery.keys, *(f"[{name}]" for name in record.delivery.choices)])


def _limits(record: Vendor) -> list[str]:
    return [f"{key} ≤ {limit.most:,}" for key, limit in record.limits.items() if limit.most is not None]


def _facts(record: Vendor) -> dict[str, Any]:
    limits = {key: {"most": limit.most, "source": limit.source} for key, limit in record.limits.items()}
    said: dict[str, Any] = {
        "name": record.name,
        "title": record.title,
        "says": record.fragment,
        "reads_only": record.reads_only or None,
    }
    if record.delivery is not None:
        keys, hosts = list(record.delivery.keys), dict(record.delivery.hosts)
        said |= {"ways": _ways(record), "keys": keys, "hosts": hosts, "choices": dict(record.delivery.choices)}
    return {**said, "page": record.page, "read": record.read_on, "limits": limits}


def verdict(plan: Plan) -> str:
    """What a vendor could say, or all the reasons why not."""
    if plan.native and plan.by_ids is None:
        many = "" if len(plan.native) == 1 else f" in {len(plan.native)} requests"
        lines = [f"{plan.vendor}: natively{many}", *(f"  {dump(payload)}" for payload in plan.native)]
        return "\n".join([*lines, *(f"  assumed: {condition.message}" for condition in plan.conditions)])
    if plan.by_ids is None:
        return f"{plan.vendor}: nobody is meant, nothing to send"
    how = f"{len(plan.native)} native, the rest by ids" if plan.native else "by ids"
    return "\n".join([f"{plan.vendor}: {how}, because", *(f"  - {_indented(reason)}" for reason in plan.reasons)])


def side_by_side(plans: Sequence[Plan]) -> None:
    """Print what each vendor is sent, in its own words, and how many requests that takes; or why it goes by ids."""
    rows = [([plan.vendor], [_how(plan)], _words(plan)) for plan in plans]
    wrapped_table(("vendor", "requests", "in its words"), rows, (11, 14, 95))


def _how(plan: Plan) -> str:
    if plan.by_ids is None:
        return str(len(plan.native)) if plan.native else "none"
    return f"{len(plan.native)}, and by ids" if plan.native else "by ids"


def _words(plan: Plan) -> list[str]:
    """What is sent natively, and what is said about the rest and about what is taken for granted."""
    if not plan.native and plan.by_ids is None:
        return ["nobody is meant, nothing to send"]
    rest = [f"the rest: {render(plan.by_ids)}"] if plan.native and plan.by_ids is not None else []
    reasons = [f"- {_indented(reason)}" for reason in plan.reasons]
    assumed = [f"assumed: {condition.message}" for condition in plan.conditions]
    return [*map(dump, plan.native), *rest, *reasons, *assumed]


def derivation(plan: Plan) -> str:
    """How *plan* came about: why it was split, what each request says, what was proved, what is taken for granted."""
    lines = [f"asked      {shown(plan.expr)}"]
    lines += [f"one is not enough: {_indented(reason)}" for reason in plan.split]
    lines += [f"request {number:<2} {shown(part)}" for number, part in enumerate(plan.parts, start=1)]
    if plan.by_ids is not None:
        lines.append(f"by ids     {shown(plan.by_ids)}")
        lines += [f"  because  {_indented(reason)}" for reason in plan.reasons]
    if len(plan.parts) > 1:
        lines.append("fewest     " + ("no fewer requests do" if plan.least else "not known: none were found in time"))
    if plan.native:
        lines.append("proved     read back, they share no device and make up what was asked")
    return "\n".join([*lines, *(f"assumed    {condition.message}" for condition in plan.conditions)])


def shown(expr: Expr) -> str:
    """*expr* for people to read: of many ids only the first ones, and how many more there are.

    >>> shown(Ids("account", tuple(f"a{number}" for number in range(1_000))))
    'account(a0, a1, a2, a3, a4, a5, a6, a7, "… 992 more")'
    """
    return render(rewritten(expr, _first_ids))


def _first_ids(atom: Atom) -> Expr:
    match atom:
        case Ids(kind=kind, values=values) if len(values) > MOST_IDS:
            return Ids(kind, (*values[:FIRST_IDS], f"… {len(values) - FIRST_IDS:,} more"))
    return atom


def _indented(reason: Problem) -> str:
    hint = f" ({reason.hint})" if reason.hint else ""
    return f"{reason.code}: {reason.message}{hint}"


def plan_json(plan: Plan) -> dict[str, Any]:
    """*plan* for machines."""
    return {
        "requests": len(plan.native),
        "native": list(plan.native),
        "by_ids": None if plan.by_ids is None else render(plan.by_ids),
        "reasons": [problem_json(reason) for reason in plan.reasons],
        "conditions": [problem_json(condition) for condition in plan.conditions],
        "parts": [render(part) for part in plan.parts],
        "split": [problem_json(reason) for reason in plan.split],
        "least": plan.least,
    }


def problem_json(problem: Problem) -> dict[str, Any]:
    """*problem* for machines."""
    place = {"start": problem.span.start, "end": problem.span.end} if problem.span else None
    return {
        "code": problem.code,
        "message": _writable(problem.message),
        "place": place,
        "path": _writable(problem.path),
        "hint": _writable(problem.hint),
    }


def _writable(text: str | None) -> str | None:
    """*text* with each half of a character that it quotes from the input as an escape."""
    return None if text is None else text.encode("utf-8", "backslashreplace").decode()


def result(value: Any, json: bool, text: str) -> None:
    """Print the result of a command: *value* as JSON, or *text* for people."""
    sys.stdout.write((orjson.dumps(value).decode() if json else text) + "\n")


def tell(problems: Iterable[Problem], json: bool) -> None:
    """Write *problems* to standard error."""
    if json:
        errors = [problem_json(problem) for problem in problems]
        sys.stderr.write(orjson.dumps({"errors": errors}).decode() + "\n")
    else:
        sys.stderr.write("\n".join(map(str, problems)) + "\n")


def warn(problems: Iterable[Problem], json: bool) -> None:
    """Write *problems* that do not stop the command to standard error."""
    _aside("warnings", "warning: ", [(str(problem), problem_json(problem)) for problem in problems], json)


def note(conditions: Iterable[Problem], json: bool) -> None:
    """Write what requests take for granted to standard error."""
    _aside("assumed", "assumed: ", [(each.message, problem_json(each)) for each in conditions], json)


def _aside(key: str, before: str, said: Sequence[tuple[str, dict[str, Any]]], json: bool) -> None:
    if said and json:
        sys.stderr.write(orjson.dumps({key: [value for _, value in said]}).decode() + "\n")
    elif said:
        sys.stderr.write("".join(f"{before}{text}\n" for text, _ in said))
