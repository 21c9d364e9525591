"""Tables of a grammar, computed by Lark: what `audience/language/grammar.py` reads."""

from pathlib import Path
from typing import Any, cast

from lark import Lark
from lark.grammar import Rule, Terminal
from lark.lexer import BasicLexer
from lark.parsers.lalr_analysis import Shift

GRAMMARS = Path(__file__).parents[1] / "grammar"


def load_lark(name: str, lexer: Any = "basic") -> Lark:
    """Return Lark's own parser of a grammar."""
    return Lark((GRAMMARS / f"{name}.lark").read_text("utf-8"), parser="lalr", lexer=lexer, regex=True)


def compute_tables(name: str) -> dict[str, Any]:
    """Return the tables of `grammar/NAME.lark`, the same whenever they are computed."""
    lark = load_lark(name)
    table = lark.parser.parser._parse_table
    start, end = table.start_states["start"], table.end_states["start"]
    order = order_states(table.states, start)
    found = {arg for state in table.states.values() for action, arg in state.values() if action is not Shift}
    rules = sorted(found, key=lambda rule: (str(rule.origin.name), [symbol.name for symbol in rule.expansion]))
    states = [
        {
            name: order[arg] if action is Shift else ~rules.index(arg)
            for name, (action, arg) in sorted(table.states[state].items())
        }
        for state in order
    ]
    return {
        "pattern": read_pattern(BasicLexer(lark.lexer_conf)),
        "ignored": sorted(lark.lexer_conf.ignore),
        "rules": [describe_rule(rule) for rule in rules],
        "states": states,
        "start": order[start],
        "end": order[end],
    }


def order_states(states: dict[int, dict[str, Any]], start: int) -> dict[int, int]:
    """Return new numbers of states: in the order in which they are reached from the first."""
    order = {start: 0}
    for state in (pending := [start]):
        for _, (action, arg) in sorted(states[state].items(), key=lambda item: item[0]):
            if action is Shift and arg not in order:
                order[arg] = len(order)
                pending.append(arg)
    return order


def read_pattern(lexer: BasicLexer) -> str:
    """Return the regular expression of all tokens; words that a name may be spelled like would need more than one."""
    (compiled,) = lexer.scanner._mres
    assert not lexer.callback
    return str(compiled.pattern)


def describe_rule(rule: Rule) -> list[Any]:
    """Return the fields of a `grammar.Rule`, as Lark's `ParseTreeBuilder` reads them."""
    assert rule.expansion and not rule.options.empty_indices
    kept = [
        (position, not symbol.is_term and symbol.name.startswith("_"))
        for position, symbol in enumerate(rule.expansion)
        if rule.options.keep_all_tokens or not (symbol.is_term and cast(Terminal, symbol).filter_out)
    ]
    is_whole = len(kept) == len(rule.expansion) and not any(is_expanded for _, is_expanded in kept)
    origin = str(rule.origin.name)
    is_transparent = bool(rule.options.expand1 and not rule.alias)
    picked = None if is_whole else kept
    return [origin, len(rule.expansion), rule.alias or origin, picked, origin.startswith("_"), is_transparent]
