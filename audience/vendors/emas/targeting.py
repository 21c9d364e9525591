"""Targeting of Push and PushV2 of Alibaba EMAS: tag trees as JSON text, and comma-separated lists of ids.

Source for tags: https://help.aliyun.com/document_detail/434847.html, read 2026-11-21.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

from audience.algebra.fitting import fit_to_shape, is_bounded
from audience.algebra.normal_forms import nnf
from audience.algebra.request_shape import Tree
from audience.errors import Problem
from audience.language.ast import (
    And,
    Compare,
    Everyone,
    Expr,
    IdKind,
    Ids,
    Not,
    Or,
    Tag,
    Within,
    all_of,
    any_of,
    atoms,
    bare,
    walk,
)
from audience.language.attribute_names import UNTYPED
from audience.language.printer import render
from audience.vendors.payload_reader import MAX_TREE_LEVELS, PayloadCursor, dump_json
from audience.vendors.platform_field import PlatformField
from audience.vendors.shared.platform_words import read_platform_word
from audience.vendors.spec import (
    COMPARISONS,
    TAGS_AND_IDS,
    WHITESPACE,
    Payload,
    Unsupported,
    Vendor,
    VendorLimit,
    require_single_list,
)

TAGS_DOCS = "https://help.aliyun.com/document_detail/434847.html"
BINDING_DOCS = "https://help.aliyun.com/document_detail/434629.html"
LISTS_DOCS = "https://help.aliyun.com/document_detail/2249917.html"

LIMITS = {
    "ids": VendorLimit(1_000, LISTS_DOCS),
    "operands": VendorLimit(10, TAGS_DOCS),
    "levels": VendorLimit(2, TAGS_DOCS),
    "tags": VendorLimit(50, TAGS_DOCS),  # in one dated copy of the page; other copies have no limit
    "tag_characters": VendorLimit(128, BINDING_DOCS),
    "alias_bytes": VendorLimit(128, BINDING_DOCS),
    "account_bytes": VendorLimit(64, BINDING_DOCS),
}
SHAPE = Tree(max_levels=2, max_operands=10, max_tags=50)
ID_KINDS_BY_TARGET: dict[str, IdKind] = {"DEVICE": "registration_id", "ALIAS": "alias", "ACCOUNT": "account"}
TARGETS_BY_ID_KIND = {kind: target for target, kind in ID_KINDS_BY_TARGET.items()}
TARGETS = (*ID_KINDS_BY_TARGET, "TAG", "ALL")

EmasTarget: TypeAlias = tuple[str, str]  # DEVICE, ACCOUNT, ALIAS, TAG or ALL, and the value


def read_target(kind: PayloadCursor, holder: PayloadCursor, value_key: str) -> Expr:
    """Read a target *kind* and its value, under *value_key* of *holder*; ALL needs no value."""
    target = kind.value.upper() if isinstance(kind.value, str) else kind.value  # older pages write it in lower case
    if target == "ALL":
        return Everyone()
    value = holder.require(value_key)
    match target:
        case "TAG":
            return _read_tags(value)
        case "DEVICE" | "ALIAS" | "ACCOUNT":
            return _read_ids(ID_KINDS_BY_TARGET[target], value)
        case "TBD":
            message = "TBD names its devices in later calls (ContinuouslyPush)"
            kind.fail("opaque", message, "read those calls instead")
    kind.fail("unknown-value", f"unknown target {kind.value!r}", f"one of {', '.join(TARGETS)}")


def read_platform(cursor: PayloadCursor, field: PlatformField) -> Iterator[Expr]:
    """Yield the device type, which narrows the audience unless it is absent or ALL."""
    if cursor.value is not None and cursor.string().upper() != "ALL":
        yield read_platform_word(cursor.string(), cursor, field)


def _read_ids(kind: IdKind, cursor: PayloadCursor) -> Expr:
    names = cursor.split_commas()
    cursor.check_limit(LIMITS["ids"], len(names), "ids")
    return Ids(kind, tuple(names))


def _read_tags(cursor: PayloadCursor) -> Expr:
    """Read a plain name, or a tree of tags as JSON text or as an object."""
    if isinstance(cursor.value, str) and not cursor.value.lstrip().startswith("{"):
        name = cursor.string()
        if "," in name:
            cursor.fail("illegal-name", f"{name!r}: a tag has no comma", 'write {"or":[{"tag":…},…]} for several')
        return _read_tag(cursor)
    expr = _read_node(cursor.json_object(), 0, 0)
    if not is_bounded(nnf(expr)):
        cursor.fail("not-alone", "NOT without a tag that bounds it", "AND it with a tag")
    return expr


def _read_tag(cursor: PayloadCursor) -> Tag:
    """Read the name of a tag; warn of one that EMAS refuses."""
    tag = bare(cursor.string())
    for problem in tag_problems(tag):
        cursor.warn(f"{problem.message}; EMAS refuses it")
    return tag


def _read_node(node: PayloadCursor, depth: int, levels: int) -> Expr:
    """Read a node of a tree, below *levels* of and/or; warn of what EMAS refuses although it is clear."""
    if depth > MAX_TREE_LEVELS:
        node.fail("too-deep", f"more than {MAX_TREE_LEVELS} levels")
    match list(node.object()):
        case ["tag"]:
            return _read_tag(node["tag"])
        case ["not"]:
            term = _read_node(node["not"], depth + 1, levels)
            if not isinstance(term, Tag):
                node["not"].warn("EMAS takes not of a single tag only: apply it to each tag (De Morgan)")
            return Not(term)
        case ["and"]:
            return all_of(_read_operands(node["and"], depth, levels))
        case ["or"]:
            return any_of(_read_operands(node["or"], depth, levels))
        case keys:
            found = ", ".join(map(str, keys)) or "none"
            node.fail("unknown-key", f"expected one of the keys tag, and, or, not; found {found}")


def _read_operands(operands: PayloadCursor, depth: int, levels: int) -> list[Expr]:
    """Read the operands of and/or."""
    nodes = operands.items()
    if levels == SHAPE.max_levels:
        operands.warn(f"EMAS refuses more than {SHAPE.max_levels} levels of and/or")
    if len(nodes) > SHAPE.max_operands:
        operands.warn(f"EMAS refuses more than {SHAPE.max_operands} operands of and/or")
    return [_read_node(node, depth + 1, levels + 1) for node in nodes]


def write_target(expr: Expr) -> EmasTarget:
    """Write *expr* as a target and its value, or raise Unsupported with every reason."""
    match expr:
        case Everyone():
            return "ALL", "ALL"
        case Ids(kind="registration_id" | "alias" | "account" as kind, values=values):
            problems = [problem for value in values for problem in _id_problems(expr, value)]
            return TARGETS_BY_ID_KIND[kind], ",".join(require_single_list(expr, LIMITS["ids"].maximum, problems))
    problems = [*_atom_problems(expr), *_tree_problems(expr)]
    if problems:
        raise Unsupported(problems)
    return "TAG", _write_tags(expr)


def _id_problems(expr: Ids, value: str) -> Iterator[Problem]:
    size, limit = len(value.encode()), LIMITS.get(f"{expr.kind}_bytes")
    if "," in value or value != value.strip(WHITESPACE):
        message = f"{value!r} contains ',' or outer spaces; commas separate ids"
        yield Problem("id-forbidden-character", message, expr.span)
    if limit is not None and limit.is_exceeded_by(size):
        yield Problem("id-too-long", f"{value!r} takes {size} bytes; the maximum is {limit.maximum}", expr.span)


def _atom_problems(expr: Expr) -> Iterator[Problem]:
    for atom in atoms(expr):
        match atom:
            case Tag():
                yield from tag_problems(atom)
            case Ids(kind="live_activity_id"):
                yield Problem("no-such-id", "EMAS has no live_activity_id", atom.span)
            case Ids(kind=kind):
                yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", atom.span)
            case Compare() | Within():
                yield Problem("no-ranges", f"{render(atom)!r} is a comparison; EMAS has tags only", atom.span)


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Find why EMAS has no name for *tag*."""
    size, limit = len(tag.value), LIMITS["tag_characters"]
    if tag.type != UNTYPED:
        message = f"EMAS has no name for {render(tag)!r}: its tags have no types"
        yield Problem("no-name", message, tag.span, hint=f"give {tag.type} names in a catalog")
    elif "," in tag.value:
        yield Problem("illegal-name", f"{tag.value!r}: an EMAS tag has no comma", tag.span)
    elif limit.is_exceeded_by(size):
        yield Problem("name-too-long", f"{tag.value!r} has {size} characters; the maximum is {limit.maximum}", tag.span)


def assumptions(expr: Expr) -> Iterator[Problem]:
    """Find what a request of *expr* takes for granted."""
    if expr == Everyone():
        yield Problem("universe", "on iOS, everyone is every device that was active at EMAS in the last 24 months")
    if any(isinstance(atom, Ids) and atom.kind in ("account", "alias") for atom in atoms(expr)):
        yield Problem("account", "an account or alias means every device that is bound to it at EMAS")
    if sum(isinstance(atom, Tag) for atom in atoms(expr)) > 1:
        yield Problem("device-tags", "the tags are bound to devices at EMAS, not to accounts or aliases")


def _tree_problems(expr: Expr) -> Iterator[Problem]:
    count = sum(isinstance(node, Tag) for node in walk(expr))
    if not is_bounded(expr):
        hint = "AND it with a tag that all of them have"
        yield Problem("not-alone", "NOT without a tag that bounds it; EMAS has no universe", hint=hint)
    if LIMITS["tags"].is_exceeded_by(count):
        yield Problem("too-many", f"{count} tags; the maximum is {SHAPE.max_tags}")
    elif is_bounded(expr) and fit_to_shape(expr, SHAPE) is None:
        size = f"{SHAPE.max_operands} operands and {SHAPE.max_levels} levels of and/or"
        yield Problem("too-large-a-tree", f"the expression has no normal form of at most {size}")


def _write_tags(expr: Expr) -> str:
    tree = fit_to_shape(expr, SHAPE)
    assert tree is not None, "checked by _tree_problems"
    if isinstance(tree, Tag) and not tree.value.lstrip().startswith("{"):
        return tree.value
    node = _write_node(tree)
    return dump_json({"and": [node]} if "tag" in node else node)


def _write_node(expr: Expr) -> Payload:
    match expr:
        case Tag(value=value):
            return {"tag": value}
        case Not(term=term):
            return {"not": _write_node(term)}
        case And(terms=terms):
            return {"and": [_write_node(term) for term in terms]}
        case Or(terms=terms):
            return {"or": [_write_node(term) for term in terms]}
    raise AssertionError(f"checked by _atom_problems: {expr!r}")


emas_vendor = partial(
    Vendor,
    fragment="≤ 2 levels of and/or, ≤ 10 operands each, NOT on single tags beside a tag; or ids, alone",
    limits=LIMITS,
    shape=SHAPE,
    supported=TAGS_AND_IDS,
    explained=COMPARISONS,
    tag_problems=tag_problems,
    assumptions=assumptions,
    max_ids=1_000,
    exclusive_ids=frozenset({"account"}),  # BINDING_DOCS: a device is attached to only one
    forbidden_id_chars=",",
    builtins={"platform": "DeviceType"},
    sandbox="audience.sandbox.vendors.emas",
    problem_codes=Path(__file__).with_name("problem_codes.toml"),
)
