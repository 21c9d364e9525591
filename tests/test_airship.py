"""Random audiences of Airship against a slow reading of its documents, one device at a time."""

import json
import operator
import warnings
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version
from strategies import boolean_exprs

from audience import (
    Compare,
    DeviceIndex,
    Expr,
    Has,
    Ids,
    PayloadWarning,
    Reference,
    Tag,
    Unsupported,
    equivalent,
    get_vendor,
    parse,
    plan,
    translate,
)
from audience.language.ast import And, Anniversary, Between, Not, Or, Within
from audience.language.binding import bind
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.testing.oracle import OracleDevice, is_inside


@dataclass(frozen=True)
class Channel:
    """What Airship knows of a device."""

    tags: frozenset[tuple[str, str]]  # (group, tag)
    named_user: str | None = None
    attributes: dict = field(default_factory=dict)

    def as_oracle_device(self) -> OracleDevice:
        tags = {("tag" if group == "device" else f"group.{group}", tag) for group, tag in self.tags}
        own = {"city": "city", "country": "attribute.country", "ua_country": "country", "ua_app_version": "version"}
        tags |= {(own[key], value) for key, value in self.attributes.items() if key in own}
        return OracleDevice(
            tags=frozenset(tags),
            ids={"alias": [self.named_user] if self.named_user else []},
            ages=(self.attributes["age"],) if "age" in self.attributes else (),
            versions=(self.attributes["ua_app_version"],) if "ua_app_version" in self.attributes else (),
        )


KEYS = ("city", "country", "ua_country", "age", "ua_app_version")
CHANNELS = [
    Channel(
        frozenset(tags),
        user,
        {
            key: value
            for key, value in zip(KEYS, (city, country, country, age, version), strict=True)
            if value is not None
        },
    )
    for tags, user, city, country, (age, version) in product(
        [(), (("device", "a"),), (("loyalty", "a"), ("device", "b"))],
        [None, "u1"],
        [None, "Rome", "Oslo"],
        [None, "VN"],
        [(None, "1.2"), (17, None), (18, "1.10"), (41.5, "2.0")],
    )
]


def selects(selector: dict, channel: Channel) -> bool:
    """Return whether a selector selects *channel*, as the documents say."""
    selector = {key.lower(): value for key, value in selector.items()}
    match selector:
        case {"and": children}:
            return all(selects(child, channel) for child in children)
        case {"or": children}:
            return any(selects(child, channel) for child in children)
        case {"not": child}:
            return not selects(child, channel)
        case {"tag": tags}:
            names = [tags] if isinstance(tags, str) else tags
            return any((selector.get("group", "device"), name) in channel.tags for name in names)
        case {"named_user": users}:
            return channel.named_user in ([users] if isinstance(users, str) else users)
        case {"attribute": key, "operator": "is_empty"}:
            return key not in channel.attributes
        case {"attribute": key, "operator": operator, "value": bound}:
            value = channel.attributes.get(key)
            return value is not None and compare(key, operator, value, bound)
    raise AssertionError(selector)


def compare(key: str, operator: str, value, bound) -> bool:
    if operator == "equals":
        return value == bound
    order = Version if key == "ua_app_version" else float
    return order(value) > order(bound) if operator == "greater" else order(value) < order(bound)


attribute_selectors = st.one_of(
    st.fixed_dictionaries(
        {"attribute": st.sampled_from(["city", "country"]), "operator": st.just("equals"), "value": st.just("Rome")}
    ),
    st.fixed_dictionaries(
        {
            "attribute": st.just("age"),
            "operator": st.sampled_from(["equals", "greater", "less"]),
            "value": st.sampled_from([17, 18, 18.0, 41.5]),
        }
    ),
    st.fixed_dictionaries(
        {
            "attribute": st.just("ua_app_version"),
            "operator": st.sampled_from(["equals", "greater", "less"]),
            "value": st.sampled_from(["1.2", "1.10", "3"]),
        }
    ),
    st.fixed_dictionaries(
        {"attribute": st.sampled_from(["city", "age", "ua_country", "country"]), "operator": st.just("is_empty")}
    ),
)
atomic_selectors = st.one_of(
    st.fixed_dictionaries(
        {"tag": st.sampled_from(["a", "b", ["a", "b"]])}, optional={"group": st.sampled_from(["loyalty", "device"])}
    ),
    st.fixed_dictionaries({"named_user": st.sampled_from(["u1", ["u1", "u2"]])}),
    attribute_selectors,
)
reference_selectors = st.one_of(
    st.fixed_dictionaries({"segment": st.sampled_from(["s1", ["s1", "s2"]])}),
    st.fixed_dictionaries({"subscription_lists": st.text("ab", min_size=1)}),
    st.fixed_dictionaries({"static_list": st.text("ab", min_size=1)}),
    st.fixed_dictionaries(
        {
            "attribute": st.sampled_from(["city", "joined"]),
            "operator": st.sampled_from(["contains", "equals", "greater", "before", "after"]),
            "value": st.sampled_from(["12", "now", "7"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "attribute": st.just("joined"),
            "operator": st.sampled_from(["before", "after"]),
            "value": st.sampled_from(["2019-07-22", "2019-07-22T13:17:55", "2019-07-22T13:17:55+08:00", 7, "now"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "attribute": st.just("joined"),
            "operator": st.just("range"),
            "value": st.sampled_from(["2019-03-01/2019-05-11", "2019-03-01T13:00:00/2019-05-11T15:30:00"]),
        }
    ),
    st.fixed_dictionaries(
        {
            "attribute": st.just("joined"),
            "operator": st.just("equals"),
            "precision": st.sampled_from(["year_month_day", "month_day"]),
            "value": st.sampled_from(["2019-07-22", "07-22", "now"]),
        }
    ),
    st.fixed_dictionaries({"activity": st.just("app_open"), "metric": st.just("count"), "value": st.integers(1, 3)}),
)


NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def ask(expr: Expr) -> Expr:
    """Return *expr* as of one moment."""
    return bind(expr, NOW, ZoneInfo("UTC"))


def in_any_case(key: str):
    return st.sampled_from([key, key.lower(), key.title()])


def compounds(selectors):
    """AND, OR and NOT of *selectors*, in any case."""

    def combine(children):
        several = st.lists(children, min_size=1, max_size=4)
        nots = in_any_case("NOT").flatmap(lambda key: st.fixed_dictionaries({key: children}))
        junctions = st.one_of(in_any_case("AND"), in_any_case("OR"))
        return st.one_of(nots, junctions.flatmap(lambda key: st.fixed_dictionaries({key: several})))

    return st.recursive(selectors, combine, max_leaves=10)


@given(compounds(atomic_selectors))
def test_selector_means_what_the_documents_say(selector):
    expr = get_vendor("airship").parse({"audience": selector})
    for channel in CHANNELS:
        assert is_inside(expr, channel.as_oracle_device()) == selects(selector, channel), channel


device_types = st.sampled_from([None, "all", ["ios"], ["android", "IOS"], ["email", "sms", "web", "open::toaster"]])


@given(compounds(st.one_of(atomic_selectors, reference_selectors)), device_types)
def test_whatever_is_parsed_is_emitted_again(selector, types):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)  # of the time zone of "now"
        expr = ask(get_vendor("airship").parse({"audience": json.loads(json.dumps(selector)), "device_types": types}))
    try:
        payload = get_vendor("airship").emit(expr)
    except Unsupported as error:
        assert [problem.code for problem in error.problems] == ["nobody"]
        return
    assert equivalent(ask(get_vendor("airship").parse(payload)), expr)


leaves = st.one_of(
    st.sampled_from([Tag("tag", "a"), Tag("group.loyalty", "a"), Tag("city", "Rome"), Tag("city", "Oslo")]),
    st.sampled_from([Tag("country", "VN"), Tag("attribute.country", "VN"), Tag("version", "1.2"), Tag("age", "18")]),
    st.builds(Has, st.sampled_from(["city", "country", "attribute.country", "age", "version"])),
    st.builds(Compare, st.just("age"), st.sampled_from(["<", "<=", ">", ">="]), st.sampled_from(["17", "18", "41.5"])),
    st.builds(Compare, st.just("version"), st.sampled_from(["<", "<=", ">", ">="]), st.sampled_from(["1.2", "1.10"])),
    st.builds(Ids, st.just("alias"), st.sampled_from([("u1",), ("u1", "u2")])),
)


@given(boolean_exprs(leaves))
def test_expression_is_emitted_as_the_documents_define_it(expr):
    try:
        audience = get_vendor("airship").emit(expr)["audience"]
    except Unsupported as error:
        assert [problem.code for problem in error.problems] == ["nobody"]
        return
    for channel in CHANNELS:
        is_selected = audience == "all" or selects(audience, channel)
        assert is_selected == is_inside(expr, channel.as_oracle_device()), channel


# Dates. -------------------------------------------------------------------------------------------------------------

SECOND = timedelta(seconds=1)
EDGES = [
    NOW,
    *(NOW + timedelta(hours=hours) for hours in (-36, -2, 2, 36)),
    *(datetime(2026, month, day, tzinfo=UTC) for month in (10, 11) for day in (21, 22, 27, 28, 29)),
    datetime(2024, 2, 29, tzinfo=UTC),
]
MOMENTS = [None, *(edge + shift for edge in EDGES for shift in (-SECOND, timedelta(0), SECOND))]
OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
TIMES = ["now", "36 hours ago", "now + 2 hours", '"2026-11-28T20:00+08:00"', "2026-11-22", "7 days ago", "today"]
DATE_TEXTS = [
    *(f"joined {sign} {time}" for sign in OPERATORS for time in TIMES),
    "joined within 36 hours",
    "joined within next 2 hours",
    "joined within 7 days",
    "joined within next 1 day",
    "joined from 36 hours ago to now",
    "joined between 2026-11-22 and 2026-11-28",
    "2026-11-22 < joined < 2026-11-28",
    "2026-11-22 <= joined < 2026-11-28",
    '"2026-11-27T00:00Z" <= joined < "2026-11-28T12:00Z"',
    "anniversary(joined) = today",
    "anniversary(joined) = 02-29",
    "anniversary(joined) within 2 days",
    "joined = today",
    "has(joined)",
]


def span_of_time(text: str) -> tuple[datetime, datetime]:
    """The first and the last moment of a day, or a moment twice."""
    if len(text) > 10:
        return (datetime.fromisoformat(text),) * 2
    start = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return start, start + timedelta(days=1) - timedelta(microseconds=1)


def is_on_side(moment: datetime, sign: str, text: str) -> bool:
    """Whether a moment is on that side of a moment, or of a whole day."""
    first, last = span_of_time(text)
    return OPERATORS[sign](moment, last if sign in (">", "<=") else first)


def holds(expr, moment: datetime | None) -> bool:
    """Whether a device with that date, or none, is in an audience, as the language says."""
    match expr:
        case Not(term=term):
            return not holds(term, moment)
        case And(terms=terms):
            return all(holds(term, moment) for term in terms)
        case Or(terms=terms):
            return any(holds(term, moment) for term in terms)
    if moment is None or isinstance(expr, Has):
        return moment is not None
    match expr:
        case Tag(value=day):
            return moment.date().isoformat() == day
        case Anniversary(window=window):
            return f"{moment:%m-%d}" == window.time
        case Compare(operator=sign, value=value):
            return is_on_side(moment, sign, value)
        case Between(low=low, high=high, low_operator=low_sign, high_operator=high_sign):
            return is_on_side(moment, low_sign.replace("<", ">"), low) and is_on_side(moment, high_sign, high)
        case Within(days=days, day=day):
            return 0 <= (date.fromisoformat(day) - moment.date()).days < days
    raise AssertionError(expr)


def selects_date(selector: dict, moment: datetime | None) -> bool:
    """Whether a selector of dates that is sent at NOW selects a device, as the documents say."""
    match selector:
        case {"AND": children}:
            return all(selects_date(child, moment) for child in children)
        case {"OR": children}:
            return any(selects_date(child, moment) for child in children)
        case {"NOT": child}:
            return not selects_date(child, moment)
        case {"operator": "is_empty"}:
            return moment is None
        case _ if moment is None:
            return False
        case {"operator": "after", "value": value}:
            return moment >= read_bound(selector, value)
        case {"operator": "before", "value": value}:
            return moment <= read_bound(selector, value)
        case {"operator": "range", "value": value}:
            start, end = (read_bound({}, bound) for bound in value.split("/"))
            return start <= moment < end
        case {"operator": "equals", "precision": "month_day", "value": value}:
            return f"{moment:%m-%d}" == value
        case {"operator": "equals", "precision": "year_month_day", "value": value}:
            return moment.date().isoformat() == value
    raise AssertionError(selector)


def read_bound(selector: dict, value) -> datetime:
    if value == "now":
        return NOW
    if isinstance(value, int):
        length = timedelta(**{selector["precision"]: value})
        return NOW + length if selector.get("relative_to") == "future" else NOW - length
    return datetime.fromisoformat(value).replace(tzinfo=UTC)


@given(boolean_exprs(st.sampled_from([ask(parse(text)) for text in DATE_TEXTS])))
def test_date_is_emitted_as_the_documents_define_it(expr):
    try:
        audience = get_vendor("airship").emit(expr)["audience"]
    except Unsupported as error:
        assert [problem.code for problem in error.problems] == ["nobody"]
        return
    for moment in MOMENTS:
        assert audience == "all" or selects_date(audience, moment) == holds(expr, moment), moment


@pytest.mark.parametrize(
    "selector",
    [
        {"attribute": "seen", "operator": "after", "value": 7, "precision": "days"},
        {"attribute": "birthday", "operator": "equals", "value": "now", "precision": "month_day"},
        {"or": [{"NOT": {"attribute": "seen", "operator": "before", "value": "now"}}, {"tag": "a"}]},
    ],
)
def test_push_with_times_that_count_from_now_goes_back_as_it_is(selector):
    push = {"audience": selector, "device_types": ["ios"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PayloadWarning)
        planned = translate(push, "airship", "airship")
    assert planned.native == (push,)
    assert "bound-time" not in [problem.code for problem in planned.assumptions]


def test_reference_goes_back_with_the_same_json():
    selector = {"attribute": "item", "operator": "contains", "value": "jéans"}
    reference = get_vendor("airship").parse({"audience": selector})
    assert reference == Reference(
        "airship", "attribute", json.dumps(selector, ensure_ascii=False, separators=(",", ":"))
    )
    assert get_vendor("airship").emit(reference) == {"audience": selector}


@pytest.mark.parametrize(
    ("catalog", "selector"),
    [
        ('at = ["airship"]', {"attribute": "country", "operator": "equals", "value": "VN"}),
        ('builtin = ["airship"]', {"attribute": "ua_country", "operator": "equals", "value": "VN"}),
        ("names.airship = 'group.home:{value}'", {"tag": "VN", "group": "home"}),
        ("names.airship = 'home:{value}'", {"attribute": "home", "operator": "equals", "value": "VN"}),
        ("names.airship = 'from_{value}'", {"tag": "from_VN"}),
    ],
)
def test_catalog_says_whose_attribute_a_column_is(catalog, selector, tmp_path):
    index = DeviceIndex.build(pl.DataFrame({"registration_id": ["r1"], "country": ["VN"]}), tmp_path / "index")
    result = plan("country:VN", "airship", index, validate_catalog(parse_catalog(f"[country]\n{catalog}")))
    assert result.native == ({"audience": selector},)
