"""Build the nodes of conditions about events: `did(purchase where amount > 20) >= 3 within 30 days`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeAlias, cast

from audience.language.ast import (
    AGGREGATE_FUNCTIONS,
    Aggregate,
    AggregateFunction,
    AggregateOp,
    Did,
    EventFilter,
    EventMoment,
    Expr,
    MomentFunction,
    Not,
    all_of,
)
from audience.language.call_reader import function_name, split_call
from audience.language.condition_reader import read_window
from audience.language.event_atoms import EVENT_FUNCTIONS, MAX_TIMES, SHORTEST_DAY, read_number, require_properties
from audience.language.grammar import Token, Tree
from audience.language.token_reader import TokenReader, ValueNode, fail, locate_errors
from audience.language.windows import RelativeTime, Window
from audience.span import Span

EXAMPLES = {
    "did": "did(purchase) >= 3 within 30 days",
    "sum": "sum(purchase.amount) > 100 within 30 days",
    "min": "min(purchase.amount) >= 20 within 30 days",
    "max": "max(purchase.amount) > 100 within 30 days",
    "avg": "avg(purchase.amount) > 50 within 30 days",
    "first": "first(purchase) within 7 days",
    "last": "last(purchase) before 30 days ago",
}
WINDOW_NODES = frozenset(["within", "from_to", "day_order"])

BuildExpr: TypeAlias = Callable[[Tree, TokenReader], Expr]


@dataclass(frozen=True, slots=True)
class EventCall:
    """Call that names events, and the conditions behind it.

    Attributes:
        reader: Reader of its tokens.
        word: Name of the function.
        entries: Arguments.
        conditions: How often or how much, and when, each at most once and in any order.
        times: The word `times`, if it is there.
    """

    reader: TokenReader
    word: Token
    entries: list[ValueNode]
    conditions: list[Tree]
    times: Token | None

    @property
    def function(self) -> str:
        """Return the name of the function in lower case."""
        return self.word.lower()

    @property
    def span(self) -> Span:
        """Return the position of the call and its conditions."""
        ends = [condition.children[-1] for condition in self.conditions if condition.children]
        return self.reader.span_of(self.word, *(ends or self.entries[-1:]))

    def fail(self, message: str, hint: str, at: ValueNode | None = None) -> NoReturn:
        """Raise the error of a condition that is not written as one of events is."""
        fail("bad-event", message, self.reader.span_of(self.word if at is None else at), hint)

    def find_condition(self, is_window: bool) -> Tree | None:
        """Return the condition that is a window, or the one that is none; there is at most one of each."""
        found = [condition for condition in self.conditions if (condition.data in WINDOW_NODES) == is_window]
        if len(found) > 1:
            self.fail(f"{self.function}() takes one window", f"write {EXAMPLES[self.function]}")
        return found[0] if found else None

    def read_window(self) -> Window | None:
        """Return the window of the events."""
        condition = self.find_condition(is_window=True)
        return None if condition is None else read_window(self.reader, condition, self.span)


def is_event_call(node: ValueNode) -> bool:
    """Return whether a parse tree is a call of a function of events; a name in quotes is none."""
    return isinstance(node, Tree) and node.data == "call" and function_name(split_call(node)[0]) in EVENT_FUNCTIONS


def read_event(reader: TokenReader, tree: Tree, conditions: Sequence[ValueNode], build_expr: BuildExpr) -> Expr:
    """Return the node of a call such as `did(purchase)` and the *conditions* behind it.

    Args:
        reader: Reader of the tokens.
        tree: Call.
        conditions: Conditions, and the word `times`.
        build_expr: Function that builds the expression behind `where`.
    """
    word, entries = split_call(tree)
    trees = [condition for condition in conditions if isinstance(condition, Tree)]
    words = [condition for condition in conditions if isinstance(condition, Token)]
    call = EventCall(reader, word, entries, trees, words[0] if words else None)
    name, where = _read_selection(call, build_expr)
    if call.times is not None and call.function != "did":
        hint = f"write {EXAMPLES[call.function]}"
        call.fail(f"only did() counts how often; {call.function}() has no times", hint, call.times)
    if call.function == "did":
        return _read_did(call, name, where)
    if call.function in AGGREGATE_FUNCTIONS:
        return _read_aggregate(call, name, where)
    return _read_moment(call, name, where)


def _read_selection(call: EventCall, build_expr: BuildExpr) -> tuple[str, Expr | None]:
    """Return the only argument of a call: a name, and the expression behind `where`."""
    entry, *following = call.entries
    if following and isinstance(entry, Tree) and entry.data == "filtered":
        hint = f"join conditions with AND or OR: {call.function}({_text_of(entry)} where … AND …)"
        call.fail("unexpected ','", hint, following[0])
    if following:
        joined = f"{call.function}({_text_of(entry)}) AND {call.function}({_text_of(following[0])})"
        hint = f"name one event; {joined} joins two" if call.function == "did" else f"write {EXAMPLES[call.function]}"
        call.fail(f"{call.function}() takes one event", hint, following[0])
    if isinstance(entry, Token):
        return _read_event_name(call, entry), None
    if entry.data == "pair":
        hint = f"put a condition behind where: did({_text_of(entry)} where category:shoes)"
        hint = hint if call.function == "did" else f"write {EXAMPLES[call.function]}"
        call.fail("unexpected ':'", hint, cast(Token, entry.children[1]))
    name, condition = entry.children
    where = build_expr(cast(Tree, condition), call.reader)
    with locate_errors(call.reader.span_of(cast(Tree, condition))):
        require_properties(where)
    return _read_event_name(call, cast(Token, name)), where


def _text_of(node: ValueNode) -> str:
    """Return the first name of a node, as it is written."""
    while isinstance(node, Tree):
        node = cast("ValueNode", node.children[0])
    return str(node)


def _read_event_name(call: EventCall, token: Token) -> str:
    if token.type == "PATTERN":
        hint = "join several with OR" if call.function == "did" else f"write {EXAMPLES[call.function]}"
        call.fail(f"{call.function}() takes the name of one event, not a pattern", hint, token)
    name = call.reader.read_name(token)
    if not name:
        call.fail("the name of the event is empty", f"write {EXAMPLES[call.function]}", token)
    return name


def _read_did(call: EventCall, name: str, where: Expr | None) -> Expr:
    times = call.find_condition(is_window=False)
    if times is None and call.times is not None:
        call.fail("a number is missing before times", f"write {EXAMPLES['did']}", call.times)
    with locate_errors(call.span):
        events = EventFilter(name, where, call.read_window())
        if times is None:
            return Did(events, span=call.span)
        least, most = _read_times(call, times)
        did = Did(events, least, most, span=call.span)
    return Not(did) if _is_unequal(times) else did


def _is_unequal(condition: Tree) -> bool:
    return condition.data == "comparison" and condition.children[0] == "!="


def _read_times(call: EventCall, condition: Tree) -> tuple[int, int | None]:
    """Return the least and the largest number of events that fit `>= 3` or `between 2 and 5`."""
    parts = cast("list[Token]", condition.children)
    match condition.data:
        case "between":
            least, most = (_read_count(call, part) for part in parts)
            if least > most:
                call.fail(f"{least} is more than {most}", "write the smaller number first", parts[0])
            return least, most
        case "comparison":
            count = _read_count(call, parts[1])
            return _find_counts(call, str(parts[0]), count, parts[1])
    _fail_at_condition(call, condition)


def _find_counts(call: EventCall, operator: str, count: int, token: Token) -> tuple[int, int | None]:
    match operator:
        case "=" | "==" | "!=":
            return count, count
        case ">=":
            return count, None
        case ">":
            return count + 1, None
        case "<=":
            return 0, count
    if not count:
        call.fail("no device did it less than 0 times", "write = 0 for the devices that never did", token)
    return 0, count - 1


def _read_count(call: EventCall, node: ValueNode) -> int:
    """Read how often: a whole number. A day is diagnosed as a window."""
    value = call.reader.read_value(node)
    digits = value.replace("_", "") if isinstance(value, str) else ""
    if digits.isascii() and digits.isdecimal() and len(digits) <= len(str(MAX_TIMES)):
        return int(digits)
    is_time = isinstance(value, RelativeTime) or value.count("-") == 2 or len(digits) == SHORTEST_DAY
    hint = "write did(purchase) after DAY, before DAY or from DAY to DAY" if is_time else f"write {EXAMPLES['did']}"
    message = f"how often is a whole number up to {MAX_TIMES:,}, not {str(value)!r:.60}"
    fail("bad-count", message, call.reader.span_of(node), hint)


def _read_aggregate(call: EventCall, path: str, where: Expr | None) -> Expr:
    name, dot, property_ = path.rpartition(".")
    if not name or not property_:
        missing = "property" if name or not dot else "event"
        hint = f"write {call.function}({name or 'purchase'}.{property_ if dot and property_ else 'amount'}) > 100"
        call.fail(f"{path!r:.60} names no {missing}", hint, call.entries[0])
    condition = call.find_condition(is_window=False)
    if condition is None:
        call.fail(f"{call.function}() is not compared with a number", f"write {EXAMPLES[call.function]}")
    with locate_errors(call.span):
        events = EventFilter(name, where, call.read_window())
        return _compare_aggregate(call, events, property_, condition)


def _compare_aggregate(call: EventCall, events: EventFilter, property_: str, condition: Tree) -> Expr:
    parts = cast("list[Token]", condition.children)

    def compare(operator: str, node: ValueNode) -> Aggregate:
        value = _read_amount(call, node)
        function = cast(AggregateFunction, call.function)
        return Aggregate(function, events, property_, cast(AggregateOp, operator), value, span=call.span)

    match condition.data:
        case "between":
            return all_of([compare(">=", parts[0]), compare("<=", parts[1])])
        case "comparison" if parts[0] in ("==", "!="):
            equal = compare("=", parts[1])
            return Not(equal) if parts[0] == "!=" else equal
        case "comparison":
            return compare(str(parts[0]), parts[1])
    _fail_at_condition(call, condition)


def _read_amount(call: EventCall, node: ValueNode) -> str:
    value = call.reader.read_value(node)
    if not isinstance(value, str) or read_number(value) is None:
        hint = f"write {EXAMPLES[call.function]}"
        call.fail(f"{call.function}() is compared with a number, not {str(value)!r:.60}", hint, node)
    return value


def _read_moment(call: EventCall, name: str, where: Expr | None) -> Expr:
    if not call.conditions:
        call.fail(f"{call.function}() says no time", f"write {EXAMPLES[call.function]}")
    if len(call.conditions) > 1:
        hint = f"write {EXAMPLES[call.function]}; join two of them with AND"
        call.fail(f"{call.function}() takes one window", hint, cast(ValueNode, call.conditions[1]))
    [condition] = call.conditions
    if condition.data not in {*WINDOW_NODES, "comparison", "between"}:
        _fail_at_condition(call, condition)
    is_unequal = _is_unequal(condition)
    if is_unequal:
        condition = Tree("comparison", [condition.children[0].update("CMP", "="), condition.children[1]])
    with locate_errors(call.span):
        window = read_window(call.reader, condition, call.span)
        moment = EventMoment(cast(MomentFunction, call.function), EventFilter(name, where), window, span=call.span)
    return Not(moment) if is_unequal else moment


def _fail_at_condition(call: EventCall, condition: Tree) -> NoReturn:
    """Raise the error of a condition that a function of events does not take."""
    name = _text_of(call.entries[0])
    hints = {
        "exists": f"write did({name})",
        "is_null": f"write NOT did({name})",
        "one_of": f"write {EXAMPLES[call.function]}, and join several with OR",
        "chain": "write between 2 and 5",
    }
    hint = hints.get(str(condition.data), f"write {EXAMPLES[call.function]}")
    at = condition.children[0] if condition.children else None
    call.fail(f"{call.function}() takes no such condition", hint, cast("ValueNode | None", at))


def require_no_more(reader: TokenReader, call: ValueNode, following: Sequence[ValueNode]) -> None:
    """Raise ExpressionError if a second condition follows the first one behind a call that is not about events."""
    if following:
        word = split_call(cast(Tree, call))[0]
        hint = f"how often and when are about events: {EXAMPLES['did']}"
        fail("unexpected-word", f"{str(word)!r:.60} takes one condition", reader.span_of(following[0]), hint)
