"""The pages of the reference about vendors, from their records: one of all vendors, and one of each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from markdown_text import code, link, markdown_table

import audience
from audience.cli.commands.error_codes import BATCH_OUTCOMES, TAG_OUTCOMES
from audience.cli.output.vendors import ABILITY_TITLES, format_duration, list_ability_rows
from audience.delivery.transport.credentials import env_variable
from audience.json_forms.vendors import list_tag_limits
from audience.messages import CHANNELS, PLATFORMS, parse_message
from audience.messages.fields import CONTENT_TYPES
from audience.vendors import require_delivery
from audience.vendors.abilities import keeps_all, list_abilities, list_methods
from audience.vendors.delivery_spec import DeliverySpec, ErrorCode, Outcome, RateLimit, SendMethod
from audience.vendors.tag_spec import TagCallForm, TagSpec

VENDORS = Path(audience.__file__).parent / "vendors"
PLACES = Path(__file__).parents[1] / "tests" / "message_places"
PLACES_NOTE = """\
Each row is a field of a platform, of a manufacturer's channel, or of a silent message. A field without a place at a
vendor is reported as `unsupported-field`. Titles and texts of a request of EMAS and TPNS are the same on all its
platforms: to send others, name one platform in `platforms`.

"""
SCHEDULE_TITLES = ("vendor", "keeps until their time", "up to", "held here")
TAG_TITLES = (
    *("vendor", "tags × ids of a call", "rate limits", "tags of a device", "tags of an application"),
    *("devices of a tag", "pushes follow after", "`--key-type`", "`--from-vendor`"),
)
SOME = " (some targets)"

SAMPLE_EXPRESSIONS = (
    "male",
    "male AND NOT vip",
    "vip OR (male AND new)",
    "province:guangdong AND NOT version:1.0.2",
    "age < 30",
    "alias(u1, u2)",
    "everyone",
)
BASE_MESSAGE = {"title": "Hi", "body": "there"}
SAMPLE_FIELDS: dict[str, Any] = {
    "title": "Hello",
    "body": "here",
    "data": {"order": "17"},
    "image": "https://example.com/a.png",
    "link": "https://example.com/",
    "badge": 3,
    "sound": "ping.caf",
    "time_to_live": 3_600,
    "collapse_key": "news",
    "platforms": ["android"],
    "test": True,
    "kind": "silent",
}


def vendors_page() -> str:
    """Return the tables of all vendors: what each can say and do, who waits for a time, and where each field goes."""
    vendors = [audience.get_vendor(name) for name in audience.vendor_names()]
    senders = [vendor for vendor in vendors if vendor.delivery is not None]
    rows = [
        (f"[{vendor.title}]({vendor.name}.md)", code(vendor.name), vendor.fragment, support(vendor))
        for vendor in vendors
    ]
    text = "# Vendors at a glance\n\n" + markdown_table(("vendor", "name", "one request expresses", "support"), rows)
    text += "## What each vendor can do\n\nThe [words of this table](../../vendors.md#what-each-vendor-can-do).\n\n"
    text += markdown_table(ABILITY_TITLES, list_ability_rows(vendors))
    text += "## Who waits for the moment\n\nWhere calls of a [scheduled run](../../scheduling.md) wait.\n\n"
    text += markdown_table(SCHEDULE_TITLES, map(schedule_row, senders))
    text += "## What calls for tags take\n\nThe bounds that pages state, for a [sync of tags](../../tags.md).\n\n"
    text += markdown_table(TAG_TITLES, [tag_row(vendor) for vendor in vendors if vendor.tags is not None])
    text += "## Where a field is in a body\n\n" + PLACES_NOTE
    return text + markdown_table(("place", "field", *(vendor.title for vendor in senders)), place_rows(senders))


def vendors_navigation() -> str:
    """Return the navigation of the pages of vendors, which zensical reads from SUMMARY.md."""
    titles = {"index": "At a glance"} | {name: audience.get_vendor(name).title for name in audience.vendor_names()}
    return "".join(f"- [{title}]({name}.md)\n" for name, title in titles.items())


def schedule_row(vendor: audience.Vendor) -> tuple[str, str, str, str]:
    """Return which methods of a vendor are kept there, how far ahead, and which are held here."""
    methods = list_methods(require_delivery(vendor))
    kept = [code(each.name) + ("" if keeps_all(each) else SOME) for each in methods if each.schedule is not None]
    held = ", ".join(code(each.name) for each in methods if not keeps_all(each)) if kept else "everything"
    ahead = list_abilities(vendor).schedules_ahead
    return vendor.name, ", ".join(kept), "" if ahead is None else format_duration(ahead), held


def tag_row(vendor: audience.Vendor) -> tuple[str, ...]:
    """Return what a call of a vendor changes and how often, its bounds, and which of its tags can be read."""
    spec, bounds = vendor.tags, list_tag_limits(vendor.tags)
    rates = dict.fromkeys(format_rate(limit) for form in spec.forms for limit in spec.rate_limits(form))
    names = ("tags_per_device", "tags_per_application", "devices_per_tag")
    return (
        vendor.name,
        "; ".join(dict.fromkeys(map(format_form, spec.forms))),
        "; ".join(rates),
        *(f"{bounds[name].maximum:,}" if name in bounds else "" for name in names),
        format_duration(spec.delay) if spec.delay else "",
        ", ".join(map(code, spec.key_types)),
        "" if spec.reading is None else "tags" if spec.reading.build_counts is None else "tags and counts",
    )


def format_form(form: TagCallForm) -> str:
    """Return what one call of a form changes, such as `1 × 1,000`, its tags and its ids."""
    return f"{form.max_tags:,} × {form.max_ids:,}" if form.max_pairs is None else f"{form.max_pairs:,} pairs"


def place_rows(vendors: Sequence[audience.Vendor]) -> Iterator[tuple[str, ...]]:
    """Yield each field of a platform, a manufacturer's channel or a silent message with its keys at each vendor."""
    places = [load_places(vendor.name) for vendor in vendors]
    for place, field in product((*PLATFORMS, *CHANNELS, "silent"), CONTENT_TYPES):
        cells = [each.get((place, field), "") for each in places]
        if any(cells):
            yield place, field, *cells


def load_places(name: str) -> dict[tuple[str, str], str]:
    """Return the keys of the body of one vendor for each (place, field), from the lines that the tests prove."""
    places = {}
    for line in (PLACES / f"{name}.txt").read_text("utf-8").splitlines():
        if line.startswith(("put ", "silent ")):
            left, _, right = line.removeprefix("put ").partition(" => ")
            place, field = left.split()
            places[place, field] = ", ".join(code(path.strip().removeprefix("$.")) for path in right.split(","))
    return places


def support(vendor: audience.Vendor) -> str:
    """Return how far a vendor is supported."""
    return "read" if vendor.read_only_reason else "read, emit" if vendor.delivery is None else "read, emit, send"


def vendor_page(vendor: audience.Vendor) -> str:
    """Return the page of one vendor, all of it from its record."""
    text = f"# {vendor.title}\n\n"
    text += f"`--vendor {vendor.name}` · [vendor documentation]({vendor.docs_url}), read on {vendor.docs_read_on}\n\n"
    if vendor.read_only_reason:
        text += f"!!! note\n    Read only: {vendor.read_only_reason}.\n\n"
    text += read_notes(vendor.name)
    text += f"## Targeting\n\nOne request expresses: {vendor.fragment}.\n\n"
    text += targeting_facts(vendor) + limits_table(vendor) + type_table(vendor)
    if not vendor.read_only_reason:
        text += examples_list(vendor)
    if vendor.delivery is None:
        return (
            text + "## Sending\n\n`audience send` does not support this vendor. `audience emit` writes the requests.\n"
        )
    return text + delivery_sections(vendor, vendor.delivery)


def read_notes(name: str) -> str:
    """Return the notes of a vendor, or an empty string; both forms of EMAS have the same."""
    file = VENDORS / name.partition("_")[0] / "notes.md"
    return f"{file.read_text('utf-8')}\n" if file.exists() else ""


def targeting_facts(vendor: audience.Vendor) -> str:
    """Return a list of facts about ids: columns, length, forbidden characters."""
    columns = ", ".join(map(code, vendor.id_columns))
    facts = [f"- Id columns of a device table, best first: {columns}."]
    if vendor.max_ids:
        facts.append(f"- One request lists at most {vendor.max_ids:,} ids.")
    if vendor.max_id_length:
        facts.append(f"- An id has at most {vendor.max_id_length} characters.")
    if vendor.forbidden_id_chars:
        shown = [code(char) for char in vendor.forbidden_id_chars if not char.isspace() and char.isprintable()]
        shown += ["white space"] if any(map(str.isspace, vendor.forbidden_id_chars)) else []
        facts.append(f"- An id must not contain {' or '.join(shown)}.")
    return "\n".join(facts) + "\n\n"


def limits_table(vendor: audience.Vendor) -> str:
    """Return the vendor's limits with their sources."""
    rows = (
        (code(name), "not documented" if limit.maximum is None else f"{limit.maximum:,}", link(limit.source))
        for name, limit in vendor.limits.items()
    )
    return markdown_table(("limit", "at most", "source"), rows)


def type_table(vendor: audience.Vendor) -> str:
    """Return the vendor's own names of tag types beside the names used in expressions."""
    rows = ((code(theirs), code(ours)) for theirs, ours in vendor.type_aliases.items())
    table = markdown_table((f"type at {vendor.title}", "type in an expression"), rows)
    for attribute, pattern in vendor.date_formats.items():
        table += f"Days of `{attribute}` are written as `{pattern}`.\n\n"
    return table


def examples_list(vendor: audience.Vendor) -> str:
    """Return sample expressions with the payloads that express them, or the reasons why none does."""
    plans = [audience.plan(expr, vendor.name) for expr in SAMPLE_EXPRESSIONS]
    examples = "".join(map(format_example, SAMPLE_EXPRESSIONS, plans))
    return (
        "## Examples\n\nTargeting without a catalog, as `audience translate --to "
        + vendor.name
        + "` prints it.\n\n"
        + examples
    )


def format_example(expr: str, plan: audience.Plan) -> str:
    """Return one sample expression with its payloads, or with the reasons for sending ids."""
    payloads = "\n".join(json.dumps(payload, ensure_ascii=False) for payload in plan.native)
    if payloads:
        return f"`{expr}`\n\n```json\n{payloads}\n```\n\n"
    reasons = "".join(
        f"- [`{problem.code}`](../problem-codes.md#{problem.code}): {problem.message}\n" for problem in plan.reasons
    )
    return f"`{expr}` is sent by ids:\n\n{reasons}\n"


def delivery_sections(vendor: audience.Vendor, spec: DeliverySpec) -> str:
    """Return the sections on keys, hosts, send methods, message fields and error codes."""
    keys = [(code(key), code(env_variable(vendor.name, key)), key_kind(key, spec), "") for key in spec.required_keys]
    keys += [
        (code(key), code(env_variable(vendor.name, key)), "optional", ", ".join(map(code, values)))
        for key, values in spec.optional_keys.items()
    ]
    hosts = ((code(name), url) for name, url in spec.base_urls.items())
    text = "## Keys\n\n" + markdown_table(("key", "variable", "kind", "values, default first"), keys)
    default = "The first host is the default." if spec.has_default_host else "None is the default: name one."
    text += f"## Hosts\n\n{default}\n\n" + markdown_table(("`--host`", "URL"), hosts)
    text += "## Send methods\n\n" + methods_table(vendor, spec)
    if spec.dry_run is not None:
        text += "`audience send --dry-run --validate` lets the vendor check each call without delivering.\n\n"
    text += "## Message fields\n\n" + message_fields_table(spec)
    text += "## Error codes\n\n" + error_codes_table(spec.error_codes, BATCH_OUTCOMES)
    return text if vendor.tags is None else text + "## Tags\n\n" + tags_section(vendor.tags)


def tags_section(spec: TagSpec) -> str:
    """Return the calls that set and remove tags, the bounds of the vendor, and the error codes of these calls."""
    rows = [
        (
            code(form.name),
            "yes" if form.adds else "",
            "yes" if form.removes else "",
            f"{form.max_ids:,}",
            f"{form.max_tags:,}" if form.max_pairs is None else f"{form.max_pairs:,} pairs",
            "; ".join(map(format_rate, spec.rate_limits(form))),
            link(form.source),
        )
        for form in spec.forms
    ]
    text = markdown_table(("call", "sets", "removes", "ids", "tags", "rate limit", "source"), rows)
    limits = [
        (key.replace("_", " "), f"{limit.maximum:,}", link(limit.source))
        for key, limit in list_tag_limits(spec).items()
    ]
    text += markdown_table(("bound", "largest number", "source"), limits) if limits else ""
    text += f"A change takes up to {format_duration(spec.delay)}.\n\n" if spec.delay else ""
    return text + error_codes_table(spec.error_codes, TAG_OUTCOMES)


def key_kind(key: str, spec: DeliverySpec) -> str:
    """Return whether a required key is also secret."""
    return "required, secret" if key in spec.secret_keys else "required"


def methods_table(vendor: audience.Vendor, spec: DeliverySpec) -> str:
    """Return the send methods; the rate limit of the native one is that of a request for one tag."""
    header = ("method", "ids per call", "used from", "setup call", "drops repeats for", "rate limit", "source")
    native_targets = audience.plan("male", vendor.name).native
    rows = [method_row(spec.native_method, native_targets, "native targets")]
    rows += [method_row(method, [], f"{method.max_ids:,}") for method in spec.send_methods if method.max_ids]
    return markdown_table(header, rows)


def method_row(method: SendMethod, targets: Sequence[Any], ids_per_call: str) -> tuple[str, ...]:
    """Return the facts of one send method, with the rate limit of a call to *targets*."""
    return (
        code(method.name),
        ids_per_call,
        f"{method.min_ids:,} ids" if method.min_ids else "",
        format_setup(method, targets),
        "" if method.dedup_window is None else format_duration(method.dedup_window),
        "; ".join(map(format_rate, method.rate_limits(targets))),
        link(method.source),
    )


def format_setup(method: SendMethod, targets: Sequence[Any]) -> str:
    """Return how many calls prepare the calls of a method: those that open a handle, and those that request keys."""
    setup, source = method.get_setup_call(targets), method.key_source
    handles = [] if setup is None else ["one per call" if setup.max_uses == 1 else f"one per {setup.max_uses:,} calls"]
    keys = [] if source is None else [f"one for the keys of {source.min_keys:,} calls"]
    return ", ".join([*handles, *keys])


def format_rate(limit: RateLimit) -> str:
    """Return a rate limit, such as `500 / s`."""
    period = "s" if limit.period_seconds == 1 else f"{limit.period_seconds:g} s"
    return f"{limit.max_calls:,} / {period}"


def message_fields_table(spec: DeliverySpec) -> str:
    """Return which keys of the vendor's body each message field sets, found by comparing bodies."""
    rows = [(code(name), field_effect(spec, name, value)) for name, value in SAMPLE_FIELDS.items()]
    note = "The keys of the request body that each [message field](../../messages.md) sets.\n\n"
    return note + markdown_table(("message field", "keys of the body"), rows)


def field_effect(spec: DeliverySpec, name: str, value: Any) -> str:
    """Return the keys of the body that change if the message field *name* has *value*."""
    try:
        before = dict(iter_leaves(spec.build_body(parse_message(BASE_MESSAGE))))
        after = dict(iter_leaves(spec.build_body(parse_message({**BASE_MESSAGE, name: value}))))
    except audience.MessageError as error:
        return "; ".join(problem.message for problem in error.problems)
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    leaves = [path for path in changed if not any(other.startswith(f"{path}.") for other in changed)]
    return ", ".join(map(code, leaves)) or "not supported"


def iter_leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each leaf of a body with its path."""
    match value:
        case dict() if value:
            for key, inner in value.items():
                yield from iter_leaves(inner, f"{path}.{key}" if path else key)
        case _:
            yield path, json.dumps(value, ensure_ascii=False)


def error_codes_table(codes: Sequence[ErrorCode], effects: Mapping[Outcome, str]) -> str:
    """Return error codes below an explanation of the outcomes."""
    rows = ((code(row.code), code(row.outcome), row.meaning, row.advice, link(row.source)) for row in codes)
    outcomes = "\n".join(f"- `{outcome}`: {effect}" for outcome, effect in effects.items())
    return f"{outcomes}\n\n" + markdown_table(("code", "outcome", "meaning", "what to do", "source"), rows)
