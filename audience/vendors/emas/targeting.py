"""What Push and PushV2 of Alibaba EMAS share: tag trees as JSON text, and lists of ids joined by commas.

Tags: https://help.aliyun.com/document_detail/434847.html, read 2026-11-21.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any, TypeAlias

from audience.algebra.fitting import fit_to_shape, is_bounded
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
from audience.vendors.payload_reader import (
    check_limit,
    dump_json,
    fail,
    read_items,
    read_json_object,
    read_object,
    read_string,
    split_commas,
)
from audience.vendors.spec import (
    COMPARISONS,
    TAGS_AND_IDS,
    WHITESPACE,
    Limit,
    Payload,
    Unsupported,
    Vendor,
    require_single_list,
)

TAGS_DOCS = "https://help.aliyun.com/document_detail/434847.html"
BINDING_DOCS = "https://help.aliyun.com/document_detail/434629.html"
LISTS_DOCS = "https://help.aliyun.com/document_detail/2249917.html"

LIMITS = {
    "ids": Limit(1_000, LISTS_DOCS),
    "operands": Limit(10, TAGS_DOCS),
    "levels": Limit(2, TAGS_DOCS),
    "tags": Limit(50, TAGS_DOCS),  # in one dated copy of the page; the others are silent
    "tag_characters": Limit(128, BINDING_DOCS),
    "alias_bytes": Limit(128, BINDING_DOCS),
    "account_bytes": Limit(64, BINDING_DOCS),
}
SHAPE = Tree(max_levels=2, max_operands=10, max_tags=50)
ID_KINDS_BY_TARGET: dict[str, IdKind] = {"DEVICE": "registration_id", "ALIAS": "alias", "ACCOUNT": "account"}
TARGETS_BY_ID_KIND = {kind: target for target, kind in ID_KINDS_BY_TARGET.items()}
MAX_READ_DEPTH = 40  # far beyond what EMAS takes, and far below what the stack does

EmasTarget: TypeAlias = tuple[str, str]  # DEVICE, ACCOUNT, ALIAS, TAG or ALL, and its value


def read_target(target: Any, value: Any, type_path: str, path: str) -> Expr:
    """What a target and its value say."""
    match target.upper() if isinstance(target, str) else target:  # older pages write it in lower case
        case "ALL":
            return Everyone()
        case "TAG":
            return _read_tags(value, path)
        case "DEVICE" | "ALIAS" | "ACCOUNT" as kind:
            return _read_ids(ID_KINDS_BY_TARGET[kind], value, path)
        case "TBD":
            message = "TBD names its devices in later calls (ContinuouslyPush)"
            fail("opaque", message, type_path, "read those instead")
    fail(
        "unknown-value",
        f"no target is called {target!r}",
        type_path,
        f"one of {', '.join((*ID_KINDS_BY_TARGET, 'TAG', 'ALL'))}",
    )


def read_platform(value: Any, path: str) -> Iterator[Expr]:
    """A device type other than ALL narrows the audience, so it is part of what is said."""
    if value is not None and read_string(value, path).upper() != "ALL":
        yield Tag("platform", value.lower())


def _read_ids(kind: IdKind, value: Any, path: str) -> Expr:
    names = split_commas(value, path)
    check_limit(LIMITS["ids"], len(names), "ids", path)
    return Ids(kind, tuple(names))


def _read_tags(value: Any, path: str) -> Expr:
    """A plain name, or an expression as JSON text or as the object itself."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        name = read_string(value, path)
        if "," in name:
            fail("illegal-name", f"{name!r}: a tag has no comma", path, 'write {"or":[{"tag":…},…]} for several')
        return bare(name)
    expr = _read_node(read_json_object(value, path), path, 0)
    if not is_bounded(expr):
        fail("not-alone", "NOT stands without a tag that bounds it", path, "AND it with a tag")
    return expr


def _read_node(node: Any, path: str, depth: int) -> Expr:
    if depth > MAX_READ_DEPTH:
        fail("too-deep", f"more than {MAX_READ_DEPTH} levels", path)
    match read_object(node, path):
        case {"tag": name, **rest} if not rest:
            return bare(read_string(name, f"{path}.tag"))
        case {"not": inner, **rest} if not rest:
            tag = _read_node(inner, f"{path}.not", depth + 1)
            if not isinstance(tag, Tag):
                hint = "write NOT on each tag (De Morgan)"
                fail("not-over-group", "not takes one tag only", f"{path}.not", hint)
            return Not(tag)
        case {"and": terms, **rest} if not rest:
            return all_of(_read_terms(terms, f"{path}.and", depth))
        case {"or": terms, **rest} if not rest:
            return any_of(_read_terms(terms, f"{path}.or", depth))
    found = ", ".join(map(str, node)) or "nothing"
    fail("unknown-key", f"expected one of tag, and, or, not; found {found}", path)


def _read_terms(terms: Any, path: str, depth: int) -> Iterator[Expr]:
    return (_read_node(term, place, depth + 1) for term, place in read_items(terms, path))


def write_target(expr: Expr) -> EmasTarget:
    """Say *expr* as a target and its value, or raise Unsaid with every reason."""
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
        yield Problem("id-too-long", f"{value!r} takes {size} bytes; {limit.maximum} is the most", expr.span)


def _atom_problems(expr: Expr) -> Iterator[Problem]:
    for atom in atoms(expr):
        match atom:
            case Tag():
                yield from tag_problems(atom)
            case Ids(kind="live_activity_id"):
                yield Problem("no-such-id", "EMAS knows no live_activity_id", atom.span)
            case Ids(kind=kind):
                yield Problem("ids-with-tags", f"{kind} cannot be combined with anything else", atom.span)
            case Compare() | Within():
                yield Problem("no-ranges", f"{render(atom)!r} compares; EMAS has tags only", atom.span)


def tag_problems(tag: Tag) -> Iterator[Problem]:
    """Why EMAS has no name for *tag*."""
    size, limit = len(tag.value), LIMITS["tag_characters"]
    if tag.type != UNTYPED:
        message = f"EMAS has no name for {render(tag)!r}: its tags have no types"
        yield Problem("no-name", message, tag.span, hint=f"give {tag.type} names in a catalog")
    elif "," in tag.value:
        yield Problem("illegal-name", f"{tag.value!r}: an EMAS tag has no comma", tag.span)
    elif limit.is_exceeded_by(size):
        yield Problem("name-too-long", f"{tag.value!r} has {size} characters; {limit.maximum} is the most", tag.span)


def assumptions(expr: Expr) -> Iterator[Problem]:
    """What a request that says *expr* takes for granted."""
    if expr == Everyone():
        yield Problem("universe", "everyone is, on iOS, every device that was active in the last 24 months at EMAS")
    if any(isinstance(atom, Ids) and atom.kind in ("account", "alias") for atom in atoms(expr)):
        yield Problem("account", "an account or alias stands for every device that is bound to it at EMAS")
    if sum(isinstance(atom, Tag) for atom in atoms(expr)) > 1:
        yield Problem("device-tags", "the tags were bound to devices, not to accounts or aliases, at EMAS")


def _tree_problems(expr: Expr) -> Iterator[Problem]:
    count = sum(isinstance(node, Tag) for node in walk(expr))
    if not is_bounded(expr):
        hint = "AND it with a tag that all of them have"
        yield Problem("not-alone", "NOT stands without a tag that bounds it; EMAS has no universe", hint=hint)
    if LIMITS["tags"].is_exceeded_by(count):
        yield Problem("too-many", f"{count} tags; {SHAPE.max_tags} is the most")
    elif is_bounded(expr) and fit_to_shape(expr, SHAPE) is None:
        what = f"{SHAPE.max_operands} operands and {SHAPE.max_levels} levels of and/or"
        yield Problem("too-large-a-tree", f"it does not fit into {what}, in any normal form")


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


def require_key(payload: Payload, key: str, path: str, hint: str) -> Any:
    """The value of *key*, which must be there."""
    if key not in payload:
        fail("missing-key", f"there is no {key!r}", path, hint)
    return payload[key]


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
    forbidden_id_chars=",",
    sandbox="audience.sandbox.vendors.emas",
)
