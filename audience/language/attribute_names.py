"""Attribute names: the type of untyped tags, and Tencent TPNS's names such as `xg_auto_province`.

Users copy TPNS's names from its documentation, so the language accepts them:
https://www.tencentcloud.com/document/product/1024/33764, read 2026-11-21.
"""

UNTYPED = "tag"  # type of a tag that is written without a type

TPNS_TYPES = {
    "xg_user_define": UNTYPED,
    "xg_auto_version": "version",
    "xg_auto_province": "province",
    "xg_auto_active": "active",
    "xg_auto_sdkversion": "sdk_version",
    "xg_auto_systemlanguage": "language",
    "xg_auto_devicebrand": "brand",
    "xg_auto_deviceversion": "model",
    "xg_auto_country": "country",
    "xg_auto_systemversion": "os_version",
    "xg_auto_city": "xg_auto_city",  # `city` is a key that customers set themselves at other vendors
}


# Attributes that some vendor keeps of each device by itself. Without an index, such a type means the vendor's own
# attribute; a vendor's custom key of the same name has the type `attribute.NAME`.
BUILTIN_TYPES = frozenset(TPNS_TYPES.values()) - {UNTYPED} | {
    "channel",
    "channel_type",
    "device_type",
    "email_subscription_status",
    "first_session",
    "last_session",
    "last_used_app",
    "platform",
    "portrait",
    "push_subscription_status",
    "region",
    "session_count",
    "session_time",
}
OWN_KEY_PREFIX = "attribute."


def own_key_type(key: str) -> str:
    """Return the type of a vendor's custom *key*, which is never the type of a built-in attribute.

    >>> own_key_type("favorite"), own_key_type("version"), own_key_type("attribute.x")
    ('favorite', 'attribute.version', 'attribute.attribute.x')
    """
    is_taken = key == UNTYPED or key in BUILTIN_TYPES or key.startswith(OWN_KEY_PREFIX)
    return f"{OWN_KEY_PREFIX}{key}" if is_taken else key


def own_key(type_: str) -> str | None:
    """Return the custom key with the type *type_*, or None if none has: the inverse of `own_key_type`.

    >>> own_key("favorite"), own_key("attribute.version"), own_key("version")
    ('favorite', 'version', None)
    """
    key = type_.removeprefix(OWN_KEY_PREFIX)
    return key if own_key_type(key) == type_ else None


def canonical_type(type_name: str) -> str:
    """Return the attribute that *type_name* names. TPNS's ten names are translated, all others are kept.

    >>> canonical_type("xg_auto_devicebrand"), canonical_type("city")
    ('brand', 'city')
    """
    return TPNS_TYPES.get(type_name, type_name)
