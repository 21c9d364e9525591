"""JSON form of vendors: their capabilities and limits."""

from collections.abc import Mapping
from typing import NotRequired

from typing_extensions import TypedDict

from audience.vendors.abilities import Abilities, list_abilities, list_methods
from audience.vendors.spec import Vendor, VendorLimit
from audience.vendors.tag_spec import TagCallForm, TagSpec


class LimitForm(TypedDict):
    """Limit of a vendor.

    Attributes:
        maximum: Largest number; null if there is none.
        source: Page that documents it.
    """

    maximum: int | None
    source: str


class VendorTagCallForm(TypedDict):
    """One way in which a vendor takes changes of tags.

    Attributes:
        name: Its name.
        adds: Whether a call can set tags.
        removes: Whether a call can remove tags.
        max_ids: Largest number of ids of each direction in a call.
        max_tags: Largest number of tags of each direction in a call.
        max_pairs: Largest number of pairs of an id and a tag; null if a call lists no pairs.
        calls_per_second: Rate that the vendor allows.
        source: Page that documents it.
    """

    name: str
    adds: bool
    removes: bool
    max_ids: int
    max_tags: int
    max_pairs: int | None
    calls_per_second: float
    source: str


class VendorTagsForm(TypedDict):
    """Calls of a vendor that set and remove the tags of devices.

    Attributes:
        family: Vendor whose applications and tags these are.
        forms: Forms of calls.
        key_types: Kinds of ids to which tags can be bound; the first is the default.
        limits: Bounds of the vendor that a page states, under `tags_per_device`, `tags_per_application`,
            `devices_per_tag` and `calls_per_day`.
        delay_seconds: How long a change may take until pushes follow it.
        readable: Whether the tags of a device can be read.
        countable: Whether the devices of a tag can be counted.
        reports_unknown_ids: Whether replies show ids that the vendor does not know.
    """

    family: str
    forms: list[VendorTagCallForm]
    key_types: list[str]
    limits: dict[str, LimitForm]
    delay_seconds: float
    readable: bool
    countable: bool
    reports_unknown_ids: bool


class AbilitiesForm(TypedDict):
    """Abilities of a vendor.

    Attributes:
        say: Whether expressions are written for it.
        send: Whether audience sends to it.
        schedule_seconds: How far ahead it keeps calls until their time; null if all of them are held here.
        schedule_all: Whether it keeps each call so, whatever its method and targets.
        cancel: Whether it takes back what it keeps.
        dry_run: Whether it checks a call without delivering it.
        drops_repeats_seconds: How long it drops repeats of one call; null if it does not.
        drops_repeats_of_all: Whether it does so whatever the method.
        names_unknown_ids: Whether its replies name ids that it does not know.
        syncs_tags: Whether tags of devices can be set and removed.
    """

    say: bool
    send: bool
    schedule_seconds: float | None
    schedule_all: bool
    cancel: bool
    dry_run: bool
    drops_repeats_seconds: float | None
    drops_repeats_of_all: bool
    names_unknown_ids: bool
    syncs_tags: bool


class VendorForm(TypedDict):
    """Vendor.

    Attributes:
        name: Its name.
        title: Its name for people.
        fragment: What its targeting can express.
        builtins: Attributes that the vendor keeps by itself, with a description of each.
        read_only_reason: Why no requests are written for the vendor; null if they are.
        abilities: What it can do.
        methods: Names of its send methods. This and the next three are present if audience can send to it.
        keys: Names of the keys of an application.
        hosts: URLs of its data centres by name.
        optional_keys: Names of optional keys with their values.
        tags: Calls that set and remove the tags of devices; present if there are any.
        page: Its documentation.
        read_on: Day on which it was read.
        limits: Its limits.
    """

    name: str
    title: str
    fragment: str
    builtins: dict[str, str]
    read_only_reason: str | None
    abilities: AbilitiesForm
    methods: NotRequired[list[str]]
    keys: NotRequired[list[str]]
    hosts: NotRequired[dict[str, str]]
    optional_keys: NotRequired[dict[str, list[str]]]
    tags: NotRequired[VendorTagsForm]
    page: str
    read_on: str
    limits: dict[str, LimitForm]


def vendor_json(vendor: Vendor) -> VendorForm:
    """Return the JSON form of *vendor*."""
    delivery = vendor.delivery
    sending = {}
    if delivery is not None:
        sending = {
            "methods": list_method_names(vendor),
            "keys": list(delivery.required_keys),
            "hosts": dict(delivery.base_urls),
            "optional_keys": {name: list(values) for name, values in delivery.optional_keys.items()},
        }
    tags = {} if vendor.tags is None else {"tags": tags_json(vendor.tags)}
    return {
        "name": vendor.name,
        "title": vendor.title,
        "fragment": vendor.fragment,
        "builtins": dict(vendor.builtins),
        "read_only_reason": vendor.read_only_reason or None,
        "abilities": abilities_json(list_abilities(vendor)),
        **sending,  # type: ignore[typeddict-item]
        **tags,
        "page": vendor.docs_url,
        "read_on": vendor.docs_read_on,
        "limits": limits_json(vendor.limits),
    }


def abilities_json(abilities: Abilities) -> AbilitiesForm:
    """Return the JSON form of what a vendor can do."""
    ahead, window = abilities.schedules_ahead, abilities.drops_repeats
    return {
        "say": abilities.says,
        "send": abilities.sends,
        "schedule_seconds": None if ahead is None else ahead.total_seconds(),
        "schedule_all": abilities.schedules_all,
        "cancel": abilities.withdraws,
        "dry_run": abilities.validates,
        "drops_repeats_seconds": None if window is None else window.total_seconds(),
        "drops_repeats_of_all": abilities.drops_all,
        "names_unknown_ids": abilities.names_unknown_ids,
        "syncs_tags": abilities.syncs_tags,
    }


def limits_json(limits: Mapping[str, VendorLimit]) -> dict[str, LimitForm]:
    """Return the JSON form of limits by name."""
    return {key: {"maximum": limit.maximum, "source": limit.source} for key, limit in limits.items()}


def tags_json(spec: TagSpec) -> VendorTagsForm:
    """Return the JSON form of the calls for tags."""
    return {
        "family": spec.family,
        "forms": [
            {
                "name": form.name,
                "adds": form.adds,
                "removes": form.removes,
                "max_ids": form.max_ids,
                "max_tags": form.max_tags,
                "max_pairs": form.max_pairs,
                "calls_per_second": find_rate(spec, form),
                "source": form.source,
            }
            for form in spec.forms
        ],
        "key_types": list(spec.key_types),
        "limits": limits_json(list_tag_limits(spec)),
        "delay_seconds": spec.delay.total_seconds(),
        "readable": spec.reading is not None,
        "countable": spec.reading is not None and spec.reading.build_counts is not None,
        "reports_unknown_ids": spec.reports_unknown_ids,
    }


def find_rate(spec: TagSpec, form: TagCallForm) -> float:
    """Return the calls per second of *form* that all of its rate limits allow."""
    return min(limit.max_calls / limit.period_seconds for limit in spec.rate_limits(form))


def list_tag_limits(spec: TagSpec) -> dict[str, VendorLimit]:
    """Return the bounds that a page states, by name."""
    limits = {
        "tags_per_device": spec.max_tags_per_device,
        "tags_per_application": spec.max_tags,
        "devices_per_tag": spec.max_devices_per_tag,
        "calls_per_day": spec.max_calls_per_day,
        "keys": spec.max_keys,
    }
    return {key: limit for key, limit in limits.items() if limit is not None}


def list_method_names(vendor: Vendor) -> list[str]:
    """Return the names of the send methods of *vendor*."""
    if vendor.delivery is None:
        return []
    return [method.name for method in list_methods(vendor.delivery)]
