"""Names of types at Airship: tag groups, attributes of the customer, and attributes that Airship keeps itself.

type                 at Airship
tag                  a tag without a group
group.loyalty        the tag group loyalty
country              the attribute ua_country
city                 the attribute city
attribute.country    the customer's own attribute country
"""

from audience.language.attribute_names import OWN_KEY_PREFIX, UNTYPED, own_key_type
from audience.vendors.spec import VendorLimit

PAGE = "https://docs.airship.com/developer/rest-api/ua/schemas/audience-selection"
SPEC_DOCS = "https://github.com/urbanairship/api-specs/blob/main/go/spec.yaml"
LIMITS_DOCS = (
    "https://support.airship.com/hc/en-us/articles/213492183-What-are-some-of-the-limitations-to-the-Airship-API"
)

LIMITS = {
    "children": VendorLimit(10, SPEC_DOCS),
    "names": VendorLimit(100, PAGE),  # of one selector: tags, named users or channels
    "name_characters": VendorLimit(128, SPEC_DOCS),
    "attribute_characters": VendorLimit(256, SPEC_DOCS),
    "value_characters": VendorLimit(255, SPEC_DOCS),
    "selectors": VendorLimit(1_000, LIMITS_DOCS),  # each name is counted as one
    "levels": VendorLimit(None, PAGE),
}
DEFAULT_GROUP = "device"  # the group of tags that have no group
GROUP_PREFIX = "group."
BUILTIN_KEYS = {
    "country": "ua_country",
    "language": "ua_language",
    "model": "ua_device_model",
    "os_version": "ua_device_os",
    "sdk_version": "ua_sdk_version",
    "version": "ua_app_version",
}
BUILTIN_TYPES_BY_KEY = {key: type_ for type_, key in BUILTIN_KEYS.items()}
VERSION_TYPES = frozenset({"os_version", "sdk_version", "version"})


def group_type(group: str) -> str:
    """Return the type of the tags in *group*.

    >>> group_type("loyalty"), group_type("device")
    ('group.loyalty', 'tag')
    """
    return UNTYPED if group == DEFAULT_GROUP else f"{GROUP_PREFIX}{group}"


def find_group(type_: str) -> str | None:
    """Return the tag group with the type *type_*, or None if it is the type of an attribute or of untyped tags."""
    group = type_.removeprefix(GROUP_PREFIX)
    return group if group and group_type(group) == type_ != UNTYPED else None


def attribute_type(key: str) -> str:
    """Return the type of the attribute *key*.

    >>> attribute_type("city"), attribute_type("ua_country"), attribute_type("country"), attribute_type("group.x")
    ('city', 'country', 'attribute.country', 'attribute.group.x')
    """
    if key in BUILTIN_TYPES_BY_KEY:
        return BUILTIN_TYPES_BY_KEY[key]
    return f"{OWN_KEY_PREFIX}{key}" if key.startswith(GROUP_PREFIX) else own_key_type(key)


def find_attribute(type_: str) -> str | None:
    """Return the key of the attribute with the type *type_*, or None if no attribute of Airship has it.

    >>> find_attribute("city"), find_attribute("country"), find_attribute("attribute.country")
    ('city', 'ua_country', 'country')
    >>> find_attribute("province"), find_attribute("attribute.city"), find_attribute("tag")
    (None, None, None)
    """
    key = BUILTIN_KEYS.get(type_) or type_.removeprefix(OWN_KEY_PREFIX)
    return key if key and attribute_type(key) == type_ else None
