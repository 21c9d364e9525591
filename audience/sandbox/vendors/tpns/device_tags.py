"""TPNS /v3/device/tag, whose operators set and remove tags of tokens, and /v3/device/tag/delete_all_device.

https://www.tencentcloud.com/document/product/1024/33766 and /33767. What the page says happens without a word happens
without a word here: operators 1 to 6 use the first token alone, and 1, 2, 7 and 8 the first tag. The page asks for a
pause of a second between calls of the operators for many tokens, and between two that overwrite the tags of one token;
here a call within that second is refused. It states both 20 and 500 pairs: 20. Of a list, a token that no device has
fails alone, and the reply does not name it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from audience.sandbox.http_types import HttpCall, HttpReply, JsonObject, VendorRefusal
from audience.sandbox.population_rows import Rows
from audience.sandbox.request_checks import is_int_between, is_string_list, parse_json_object
from audience.sandbox.vendor_state import VendorState

TAG_PATH, DELETE_PATH = "/v3/device/tag", "/v3/device/tag/delete_all_device"
BATCH_PAUSE = OVERWRITE_PAUSE = (1, 1.0)  # calls, seconds
MAX_LIST_ITEMS, MAX_PAIRS = 500, 20
MAX_TAG_BYTES, MAX_TOKEN_CHARS = 50, 36
MAX_TOKEN_TAGS, MAX_TAGS = 100, 10_000
KNOWN_FIELDS = {"operator_type", "platform", "token_list", "tag_list", "tag_token_list", "seq"}


def handle_tag_call(call: HttpCall, state: VendorState) -> HttpReply:
    """Set or remove tags, and reply.

    Raises:
        VendorRefusal: The call is not allowed, or failed for some tokens, or for all.
    """
    request = parse_json_object(call.body, 1008001)
    if call.path == DELETE_PATH:
        for name in _read_tags(request):
            state.tags.delete(name)
    else:
        _run_operator(request, state)
    ignored = tuple(sorted(request.keys() - KNOWN_FIELDS))
    return HttpReply(200, {"seq": request.get("seq", 0), "ret_code": 0}, ignored=ignored)


def _run_operator(request: JsonObject, state: VendorState) -> None:
    operator = request.get("operator_type")
    if operator is None:
        raise VendorRefusal(1008002, "operator_type is missing")
    if not is_int_between(operator, 1, 10):
        raise VendorRefusal(1008007, f"operator_type {operator} is not known")
    if operator >= 9:
        pairs = _read_pairs(request)
        _check_pause("batch", BATCH_PAUSE, state)
        return _change_pairs(pairs, operator == 9, state)
    tokens = _read_tokens(request)
    tags = [] if operator == 5 else _read_tags(request)
    if operator >= 7:
        _check_pause("batch", BATCH_PAUSE, state)
        return _change_pairs([(tags[0], token) for token in tokens], operator == 7, state)
    return _change_token(operator, tokens[0], tags, state)


def _change_token(operator: int, token: str, tags: list[str], state: VendorState) -> None:
    """Change the tags of one token: operators 1 to 6."""
    rows, unknown = state.find_rows([token])
    if unknown:
        raise VendorRefusal(1008006, f"invalid token {token}")
    before = state.tags.tags_of(int(rows[0]))
    match operator:
        case 1 | 3:
            removed, added = [], tags if operator == 3 else tags[:1]
        case 2 | 4:
            removed, added = tags if operator == 4 else tags[:1], []
        case _:
            removed, added = list(_find_overwritten(before, tags)), tags
    if operator == 6:
        _check_pause(f"overwrite {token}", OVERWRITE_PAUSE, state)
    gain = len({*before} - {*removed} | {*added}) - len(before)
    if added and state.exceeds_quota(int(state.tags.tag_counts[rows[0]]) + gain, MAX_TOKEN_TAGS):
        raise VendorRefusal(1008007, f"a token has at most {MAX_TOKEN_TAGS} tags")
    _check_tag_quota(added, state)
    for name in removed:
        state.tags.remove(name, rows)
    for name in added:
        state.tags.add(name, rows)


def _find_overwritten(old: list[str], new: list[str]) -> Iterator[str]:
    """Yield the tags of *old* that *new* replaces: those of its categories if all of *new* have a category, else all.

    >>> list(_find_overwritten(["level:1", "test:1", "male"], ["test:2"]))
    ['test:1']
    >>> list(_find_overwritten(["level:1", "male"], ["test:2", "level"]))
    ['level:1', 'male']
    """
    categories = {name.partition(":")[0] for name in new}
    by_category = bool(new) and all(":" in name for name in new)
    return (name for name in old if not by_category or (":" in name and name.partition(":")[0] in categories))


def _change_pairs(pairs: list[tuple[str, str]], is_adding: bool, state: VendorState) -> None:
    """Change the tags of many tokens: operators 7 to 10.

    Raises:
        VendorRefusal: Some tokens, or all, have no device, or too many tags.
    """
    tokens_by_tag: dict[str, list[str]] = {}
    for name, token in pairs:
        tokens_by_tag.setdefault(name, []).append(token)
    if is_adding:
        _check_tag_quota(list(tokens_by_tag), state)
    failed = 0
    for name, tokens in tokens_by_tag.items():
        rows, unknown = state.find_rows(tokens)
        full = _find_full_rows(name, rows, state) if is_adding else rows[:0]
        failed += len(unknown) + sum(token_row in full for token_row in _rows_of_known(tokens, state))
        (state.tags.add if is_adding else state.tags.remove)(name, np.setdiff1d(rows, full))
    if failed:
        code = 1008027 if failed == len(pairs) else 1008026
        raise VendorRefusal(code, f"{failed} of {len(pairs)} failed")


def _rows_of_known(tokens: list[str], state: VendorState) -> Iterator[int]:
    row_by_id = state.population.rows_by_id(state.vendor)
    return (row_by_id[token] for token in tokens if token in row_by_id)


def _find_full_rows(name: str, rows: Rows, state: VendorState) -> Rows:
    """Return those of *rows* whose devices would have too many tags."""
    new = state.tags.devices_without(name, rows)
    counts = state.tags.tag_counts[new].tolist()
    return new[np.array([state.exceeds_quota(count + 1, MAX_TOKEN_TAGS) for count in counts], dtype=np.bool_)]


def _check_tag_quota(added: list[str], state: VendorState) -> None:
    created = sum(not state.tags.exists(name) for name in added)
    if created and state.exceeds_quota(len(state.tags.own_names()) + created, MAX_TAGS):
        raise VendorRefusal(1008007, f"an application has at most {MAX_TAGS:,} tags")


def _check_pause(kind: str, pause: tuple[int, float], state: VendorState) -> None:
    if not state.rate_limiter.try_acquire(f"tags {kind}", *pause):
        raise VendorRefusal(1008028, "calls for many tokens, or that overwrite one, are a second apart")


def _read_tokens(request: JsonObject) -> list[str]:
    tokens = _read_list(request, "token_list")
    for token in tokens:
        _check_token(token)
    return tokens


def _read_tags(request: JsonObject) -> list[str]:
    tags = _read_list(request, "tag_list")
    for name in tags:
        _check_tag(name)
    return tags


def _read_list(request: JsonObject, name: str) -> list[str]:
    values: Any = request.get(name)
    if values is None:
        raise VendorRefusal(1008002, f"{name} is missing")
    if not is_string_list(values) or not 1 <= len(values) <= MAX_LIST_ITEMS:
        raise VendorRefusal(1008007, f"{name} is a list of 1 to {MAX_LIST_ITEMS} texts")
    return list(values)


def _read_pairs(request: JsonObject) -> list[tuple[str, str]]:
    pairs: Any = request.get("tag_token_list")
    if pairs is None:
        raise VendorRefusal(1008002, "tag_token_list is missing")
    if not isinstance(pairs, list) or not 1 <= len(pairs) <= MAX_PAIRS:
        raise VendorRefusal(1008007, f"tag_token_list is a list of 1 to {MAX_PAIRS} pairs")
    for pair in pairs:
        if not isinstance(pair, dict) or not is_string_list([pair.get("tag"), pair.get("token")]):
            raise VendorRefusal(1008007, "a pair has tag and token")
        _check_tag(pair["tag"])
        _check_token(pair["token"])
    return [(pair["tag"], pair["token"]) for pair in pairs]


def _check_token(token: str) -> None:
    if len(token) > MAX_TOKEN_CHARS:
        raise VendorRefusal(1008029, f"a token has at most {MAX_TOKEN_CHARS} characters")


def _check_tag(name: str) -> None:
    if len(name.encode()) > MAX_TAG_BYTES:
        raise VendorRefusal(1008007, f"a tag has at most {MAX_TAG_BYTES} bytes")
