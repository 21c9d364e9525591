"""Complete expressions: what the grammar allows at a position, and what an index has."""

import os

import polars as pl
import pytest
from hypothesis import given
from strategies import any_expr

from audience import DeviceIndex, render
from audience.cli.app import run
from audience.index.query.completion import complete_with_index
from audience.language.completion import complete
from audience.language.grammar import tokenize

WORDS = {  # `|` is the position: some words that are offered, and some that are not
    "": ("NOT everyone has( sample(", "AND days limit"),
    "male |": ("AND OR EXCEPT in between limit", "everyone days ago"),
    "male AN|": ("AND", "OR NOT"),
    "male A|ND vip": ("AND", "OR"),
    "active within |": ("next", "AND days"),
    "active within 7 |": ("days hours", "AND of"),
    "active within 7 days |": ("AND of", "days"),
    "email is |": ("null NOT", "AND"),
    "city starts |": ("with", "AND"),
    "at |": ("least most", "AND"),
    "at least 2 |": ("of", "AND"),
    "seen < to|": ("today tomorrow", "top"),
    "split(a:50%, b:50%, x) = |": ("a b", "AND"),
    "split(a:50%, b:50%, x) in (a, |": ("a b", "AND"),
    "@vip |": ("AND limit", "in between"),
    "vip limit 5 |": ("seed", "AND by"),
    "vip top 5 |": ("by", "AND seed"),
    "did(purchase |": ("where", "AND within"),
    "did(purchase where |": ("has( NOT", "everyone at sample( did("),
    "did(purchase where (a OR |": ("has( NOT", "everyone did("),
    "did(purchase where amount > 5 |": ("AND OR", "EXCEPT limit times"),
    "did(purchase where amount within 7 |": ("days", "AND"),
    "did(purchase) |": ("within between before from AND NOT", "in is exists matches where times"),
    "did(purchase) >= 3 |": ("times within from AND", "where"),
    "did(purchase) within 7 days |": ("between AND of", "in is where times"),
    "last(purchase) |": ("within before", "in where"),
    "alias(u1 |": ("", "where"),
    "age >= 3 |": ("AND", "times"),
    "a AND AND |": ("", "NOT everyone"),
    "a # AND |": ("", "AND NOT"),
    '"AN|': ("", "AND"),
}


def complete_at(text):
    position = text.find("|") if "|" in text else len(text)
    return position, text.replace("|", "", 1)


@pytest.mark.parametrize("marked", WORDS)
def test_words_are_those_of_the_grammar(marked):
    position, text = complete_at(marked)
    offered = {completion.text for completion in complete(text, position)}
    some, none = (set(words.split()) for words in WORDS[marked])
    assert some <= offered
    assert not none & offered


@given(any_expr)
def test_every_keyword_of_a_text_is_offered_at_its_place(expr):
    text = render(expr)
    for token in [*tokenize(text)][:30]:
        if token.type in ("_AND", "_OR", "_EXCEPT", "_NOT", "EVERYONE", "_LIMIT", "_SEED", "TOP", "THRESHOLD", "_OF"):
            offered = [each.text.lower() for each in complete(text[: token.start_pos], token.start_pos)]
            assert text[token.start_pos : token.end_pos].lower() in offered


@pytest.fixture
def index(tmp_path):
    table = {
        "token": ["t1", "t2", "t3", "t4"],
        "tags": [["male", "a b"], ["male"], ["vip"], ["vip"]],
        "province": ["guangdong", "guangxi", "guangxi", "四川"],
        "age": [18, 30, 30, 41],
    }
    index = DeviceIndex.build(pl.DataFrame(table), tmp_path / "index", tags=["tags"])
    index.remove(["t4"])
    index.save_segment("young", "age < 30")
    index.save_segment("big spenders", "vip")
    return index


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("province:|", [("guangxi", 2), ("guangdong", 1)]),
        ("province:guangd| AND x", [("guangdong", 1)]),
        ("province in (guangxi, GU|", [("guangxi", 2), ("guangdong", 1)]),
        ("province != |", [("guangxi", 2), ("guangdong", 1)]),
        ("age between |", [("30", 2), ("18", 1)]),
        ("age between 18 and |", [("30", 2), ("18", 1)]),
        ("mal|", [("male", 2)]),
        ('"a |', [('"a b"', 1)]),
        ("tag(|", [("male", 2), ('"a b"', 1), ("vip", 1)]),
        ("has(pro|", [("province", None)]),
        ("@|", [('@"big spenders"', None), ("@young", None)]),
        ("@y|oung AND male", [("@young", None)]),
        ("vip top 5 by |", [("age", None)]),
    ],
)
def test_names_and_values_are_those_of_the_index(marked, expected, index):
    position, text = complete_at(marked)
    assert [(each.text, each.devices) for each in index.complete(text, position)] == expected


class Purchases:
    """Names of the events of an index."""

    def count_devices(self):
        return {"purchase": 5, "my open": 3}

    def list_properties(self, event):
        return {"purchase": ["amount", "category"], "my open": ["title"]}.get(event, [])

    def list_numbers(self, event):
        return ["amount"] if event == "purchase" else []

    def count_values(self, event, property_, prefix):
        values: dict[tuple[str, str], dict[str, int | None]] = {
            ("purchase", "category"): {"shoes": 4, "bags": None},
            ("purchase", "tag"): {"gift": 2},
        }
        found = values.get((event, property_), {})
        return {value: count for value, count in found.items() if value.startswith(prefix)}


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("did(|", [("purchase", 5), ('"my open"', 3)]),
        ("male AND last(pu|", [("purchase", 5)]),
        ("sum(|", [("purchase.amount", 5)]),
        ("did(purchase where |", [("amount", None), ("category", None), ("gift", 2)]),
        ('did("my open" where |', [("title", None)]),
        ("sum(purchase.amount where c|", [("category", None)]),
        ("did(purchase where (gift OR category:|", [("shoes", 4), ("bags", None)]),
        ("did(purchase where category in (bags, s|", [("shoes", 4)]),
        ("did(purchase where tag(|", [("gift", 2)]),
        ("did(purchase where has(|", [("amount", None), ("category", None)]),
        ("did(purchase where province:|", []),
    ],
)
def test_names_inside_the_brackets_of_an_event_are_its_own(marked, expected, index):
    position, text = complete_at(marked)
    found = complete_with_index(text, position, index.snapshot, Purchases())
    assert [
        (each.text, each.devices) for each in found if each.kind in ("event", "property", "value", "tag")
    ] == expected
    without_events = complete_with_index(text, position, index.snapshot)
    assert {each.kind for each in without_events} <= {"keyword", "function", "time", "unit", "event"}
    assert {each.text for each in without_events if each.kind == "event"} <= {"delivered"}


def test_completion_replaces_the_word(index):
    [completion] = index.complete("male AND province:guangdo OR x", 24)
    assert (completion.start, completion.end) == (18, 25)


def test_command_lists_completions(index, capsys):
    with pytest.raises(SystemExit) as ended:
        run(["complete", "province:g", "--index", str(index.folder)])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["guangxi", "value", "2"]


def test_shell_completes_expressions_with_the_index(index, capsys, monkeypatch):
    line = f"audience count {index.folder} 'male AND pro"
    for name, value in (("_AUDIENCE_COMPLETE", "complete_bash"), ("COMP_WORDS", line), ("COMP_CWORD", "3")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["audience"])
    with pytest.raises(SystemExit):
        run([])
    assert capsys.readouterr().out == "male AND province\n"
    assert os.environ["COMP_CWORD"] == "3"
