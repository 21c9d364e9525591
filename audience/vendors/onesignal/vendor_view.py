"""View an atom as OneSignal does: as conditions on its keys and fields.

Expressions are compared in this view when a plan is verified. It rests on what the assumptions of a plan name: a
device has a bare tag exactly if it has the key, one value of a key, and numbers as the values that are compared.
"""

from audience.language.ast import Atom, Between, Compare, Expr, Has, Not, Tag, all_of, any_of
from audience.language.attribute_names import own_key_type
from audience.vendors.onesignal.fields import FIELDS, canonical_value
from audience.vendors.onesignal.time_filters import is_time, view_time
from audience.vendors.relative_times import split_range


def view_atom(atom: Atom) -> Expr:
    """Return *atom* as conditions on keys and fields.

    >>> from audience.language.parser import parse
    >>> from audience.language.printer import render
    >>> render(view_atom(parse("vip"))), render(view_atom(parse("country:us")))
    ('has(vip)', 'country:US')
    >>> render(view_atom(parse("age >= 18")))
    'age:18 OR (has(age) AND NOT age < 18)'
    """
    match atom:
        case Tag(type="tag", value=key):
            return Has(own_key_type(key))
        case Tag(type=type_, value=value):
            return Tag(type_, canonical_value(type_, value))
        case Compare() | Between() if is_time(atom):
            return view_time(atom)
        case Between():
            return all_of(map(view_atom, split_range(atom)))
        case Compare(type=type_) if type_ != FIELDS["session_time"].type:  # which cannot be compared with `=`
            return _view_comparison(atom)
    return atom


def _view_comparison(compare: Compare) -> Expr:
    """Return a comparison as conditions of which one holds for each value: less, equal, or neither."""
    type_ = compare.type
    less, equal = Compare(type_, "<", compare.value), Tag(type_, compare.value)
    match compare.operator:
        case "<":
            return all_of([less, Not(equal)])
        case "<=":
            return any_of([equal, less])
        case ">":
            return all_of([Has(type_), Not(less), Not(equal)])
        case ">=":
            return any_of([equal, all_of([Has(type_), Not(less)])])
