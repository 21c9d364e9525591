"""Text of several vendors: their capabilities and limits, and their plans for one audience."""

from collections.abc import Sequence
from datetime import timedelta

from audience.cli.output.plans import format_problem_line, merge_missing_names, split_missing_names
from audience.cli.output.widgets import format_table, format_wrapped_table
from audience.cli.output.writer import NOTHING_TO_SEND
from audience.counts import format_count
from audience.errors import Problem
from audience.json_forms.vendors import list_method_names, list_tag_limits
from audience.language.printer import render
from audience.planning.catalog.declared import NOT_AT_VENDOR
from audience.planning.plans import Plan
from audience.planning.synced_tags import merge_stale_problems
from audience.vendors import get_vendor
from audience.vendors.abilities import Abilities, list_abilities
from audience.vendors.payload_reader import dump_json
from audience.vendors.spec import Vendor
from audience.vendors.tag_spec import TagCallForm

ABILITY_TITLES = (
    "vendor",
    "say",
    "send",
    "schedule",
    "cancel",
    "dry run",
    "repeats dropped",
    "unknown ids named",
    "tags synced",
)


def format_vendors(vendors: Sequence[Vendor]) -> str:
    """Return three tables of *vendors*: supported expressions with their limits, abilities, and documentation pages."""
    rows = [([vendor.name], _capability_lines(vendor), _limit_lines(vendor)) for vendor in vendors]
    pages = [([vendor.name], [vendor.docs_read_on], [vendor.docs_url]) for vendor in vendors]
    return "\n\n".join(
        [
            format_wrapped_table(("vendor", "supports", "limits"), rows, (12, 60, 48)),
            format_table(ABILITY_TITLES, list_ability_rows(vendors)),
            format_wrapped_table(("vendor", "read on", "documentation"), pages, (12, 12, 96), gap=False),
        ]
    )


def list_ability_rows(vendors: Sequence[Vendor]) -> list[tuple[str, ...]]:
    """Return what each vendor can do, in the order of `ABILITY_TITLES`."""
    return [(vendor.name, *_ability_cells(list_abilities(vendor))) for vendor in vendors]


def _ability_cells(abilities: Abilities) -> tuple[str, ...]:
    """Return the cells of a vendor: `-` for what does not concern one that audience does not send to."""
    ahead = abilities.schedules_ahead
    sending = (
        "held here" if ahead is None else _limit_words(ahead, abilities.schedules_all),
        "held here" if ahead is None else _yes(abilities.withdraws),
        _yes(abilities.validates),
        "no" if abilities.drops_repeats is None else _limit_words(abilities.drops_repeats, abilities.drops_all),
        _yes(abilities.names_unknown_ids),
    )
    return (
        _yes(abilities.says),
        _yes(abilities.sends),
        *(sending if abilities.sends else ("-",) * len(sending)),
        _yes(abilities.syncs_tags),
    )


def _limit_words(duration: timedelta, holds_for_all: bool) -> str:
    return f"{format_duration(duration)}{'' if holds_for_all else ', some calls'}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def format_duration(duration: timedelta) -> str:
    """Return a duration in the largest unit that it is a whole number of.

    >>> format_duration(timedelta(days=7)), format_duration(timedelta(hours=12)), format_duration(timedelta(minutes=15))
    ('7 days', '12 hours', '15 minutes')
    """
    seconds = int(duration.total_seconds())
    units = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
    unit, size = next((unit, size) for unit, size in units if not seconds % size)
    return format_count(seconds // size, unit)


def _capability_lines(vendor: Vendor) -> list[str]:
    lines = [vendor.title, vendor.fragment]
    if vendor.builtins:
        lines.append(f"built-in attributes: {', '.join(vendor.builtins)}")
    if vendor.read_only_reason:
        lines.append(f"read only: {vendor.read_only_reason}")
    if vendor.delivery is not None:
        keys = [*vendor.delivery.required_keys, *(f"[{name}]" for name in vendor.delivery.optional_keys)]
        lines += [f"send methods: {', '.join(list_method_names(vendor))}", f"keys: {', '.join(keys)}"]
        lines += [f"file of the keys: {vendor.delivery.key_file}"] if vendor.delivery.key_file else []
    if vendor.tags is not None:
        lines.append(f"calls for tags: {'; '.join(map(_describe_form, vendor.tags.forms))}")
        lines += [f"tags are bound to: {', '.join(vendor.tags.key_types)}"] if len(vendor.tags.key_types) > 1 else []
        lines += ["tags cannot be read"] if vendor.tags.reading is None else []
    return lines


def _describe_form(form: TagCallForm) -> str:
    """Return what a call of *form* can change, such as `tag (+ −, 1,000 ids, 1 tag)`."""
    directions = " ".join(sign for sign, is_there in (("+", form.adds), ("−", form.removes)) if is_there)
    if form.max_pairs is not None:
        return f"{form.name} ({directions}, {format_count(form.max_pairs, 'pair')})"
    sizes = f"{format_count(form.max_ids, 'id')}, {format_count(form.max_tags, 'tag')}"
    return f"{form.name} ({directions}, {sizes})"


def _limit_lines(vendor: Vendor) -> list[str]:
    tag_limits = {} if vendor.tags is None else list_tag_limits(vendor.tags)
    limits = vendor.limits | {key.replace("_", " "): limit for key, limit in tag_limits.items()}
    return [f"{key} ≤ {limit.maximum:,}" for key, limit in limits.items() if limit.maximum is not None]


def format_plan_overview(plans: Sequence[Plan]) -> str:
    """Return which vendors are sent native requests and which ids, and the reasons, equal ones on one line."""
    methods: dict[str, list[str]] = {}
    reasons: dict[str, list[str]] = {}
    for plan in plans:
        methods.setdefault(_method_note(plan), []).append(plan.vendor)
        for line in _overview_reasons(plan):
            reasons.setdefault(line, []).append(plan.vendor)
    tables = [format_table(("sent as", "vendors"), _list_vendors(methods))]
    if reasons:
        tables.append(format_wrapped_table(("reason for ids", "vendors"), _as_lines(reasons), (3, 2), gap=False))
    return "\n\n".join(tables)


def _overview_reasons(plan: Plan) -> list[str]:
    """Return the reasons of *plan*, worded alike for all vendors where only tag names are missing."""
    types, others = split_missing_names(_merge_reasons(plan))
    missing = [f"no names for {', '.join(types)}: add them to a catalog"] if types else []
    return [*missing, *map(_overview_line, others)]


def _merge_reasons(plan: Plan) -> list[Problem]:
    return merge_stale_problems(plan.reasons, plan.stale, get_vendor(plan.vendor))


def _overview_line(reason: Problem) -> str:
    """Return *reason* on one line; the hint of tags that no vendor is known to have is worded for all vendors."""
    if reason.code == NOT_AT_VENDOR:
        return f"{reason.message}: add `at` or `builtin` to a catalog"
    return format_problem_line(reason)


def _list_vendors(vendors_by_text: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(text, ", ".join(vendors)) for text, vendors in vendors_by_text.items()]


def _as_lines(vendors_by_text: dict[str, list[str]]) -> list[tuple[list[str], list[str]]]:
    return [([text], [vendors]) for text, vendors in _list_vendors(vendors_by_text)]


def format_plans_side_by_side(plans: Sequence[Plan]) -> str:
    """Return a table of the payloads of each vendor, or of the reasons why it needs ids."""
    rows = [([plan.vendor], [_method_note(plan)], _payload_lines(plan)) for plan in plans]
    return format_wrapped_table(("vendor", "sent as", "payload"), rows, (12, 14, 94))


def _method_note(plan: Plan) -> str:
    requests = format_count(len(plan.native), "request")
    if plan.by_ids is None:
        return requests if plan.native else "nothing"
    return f"{requests} + ids" if plan.native else "ids"


def _payload_lines(plan: Plan) -> list[str]:
    """Return the native payloads, the expression that is left for ids with the reasons, and the assumptions."""
    if not plan.native and plan.by_ids is None:
        return [NOTHING_TO_SEND.message]
    by_ids = [f"by ids: {render(plan.by_ids)}"] if plan.native and plan.by_ids is not None else []
    reasons = [f"- {format_problem_line(reason)}" for reason in merge_missing_names(_merge_reasons(plan), plan.vendor)]
    assumptions = [f"assumed: {assumption.message}" for assumption in plan.assumptions]
    return [*map(dump_json, plan.native), *by_ids, *reasons, *assumptions]
