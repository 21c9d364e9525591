"""JSON paths of parts of a message."""


def join_path(path: str, *keys: str) -> str:
    """Return the path of a key below *path*; a key that is no name is in brackets and quotes.

    >>> join_path("$.localized", "zh-Hans", "title")
    "$.localized['zh-Hans'].title"
    """
    for key in keys:
        path += f".{key}" if key.isidentifier() else f"[{key!r}]"
    return path
