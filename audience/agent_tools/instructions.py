"""Instructions for agents: the tools, and the language in examples."""

from collections.abc import Sequence

EXAMPLES = {
    "vip": "devices with the tag vip",
    "province:guangdong": "devices with this value of an attribute",
    "province in (guangdong, hunan)": "with any of the values; also `not in`",
    "age < 30": "of numbers, days, moments and versions; also `between 18 and 25`",
    "male AND (vip OR age < 30) AND NOT province:hunan": "NOT binds tighter than AND, and AND tighter than OR",
    "has(email)": "with any value of the attribute",
    'city starts with "gua"': "also `ends with`, `contains`, and `matches` with * and ? in the pattern",
    "signup within 7 days": "of days and moments; also `before 30 days ago` and `= today`",
    "did(purchase) >= 3 within 30 days": "by events; also `last(purchase) before 30 days ago`",
    "@gold": "the saved segment gold",
    "everyone": "all devices",
}
TEXT = """\
Exact answers about audiences of devices for push messages. An audience is an expression. Counts are exact, and of one
snapshot of an index, which each answer names. The tools change and send nothing, and return no ids of devices.

Begin with describe_index: it has the attributes, tags, segments and events. list_values and complete find the values
of an attribute. A name that no device has is not an error: `warnings` has it, often with what may be meant. explain
shows what each part of an expression leaves, profile what distinguishes an audience, and plan what a vendor would be
sent, with reasons. An error names the place and a hint: correct the call and try again.

Expressions:
"""


def write_instructions(index_names: Sequence[str]) -> str:
    """Return the instructions of a server of these indexes."""
    examples = "".join(f"- `{expr}`: {meaning}\n" for expr, meaning in EXAMPLES.items())
    names = f"\nThe indexes are {', '.join(index_names)}.\n" if len(index_names) > 1 else ""
    return f"{TEXT}{examples}{names}"
