"""Languages of devices and of messages: BCP 47 tags, matched by the distances that CLDR has between them.

zh_CN, zh-Hans-CN, zh, cmn    0 from zh-Hans        another spelling, or what is left out
zh-SG                         4 from zh-Hans        another region
zh-TW                         54 from zh-Hans       another script, which is no match
"""

import re
from collections.abc import Iterable

import langcodes

MAX_LANGUAGE_DISTANCE = 5  # the language in another region; other languages and other scripts are further away
_JAVA_SCRIPT = re.compile(r"([A-Za-z]{2,3})(?:_([A-Za-z]{2}|\d{3}))?_{1,2}#([A-Za-z]{4})")  # zh_CN_#Hans
_CHARSET = re.compile(r"(\w+)\.[\w-]+")  # zh_CN.UTF-8


def normalize_language(text: str) -> str | None:
    """Return the BCP 47 tag of a language as phones and tables write it; None if it is none.

    >>> [normalize_language(text) for text in ("zh_CN", "ZH-hans", "zh_TW_#Hant", "en_US.UTF-8", "iw", "english", "xx")]
    ['zh-CN', 'zh-Hans', 'zh-Hant-TW', 'en-US', 'he', None, None]
    """
    text = text.strip()
    if (match := _JAVA_SCRIPT.fullmatch(text)) is not None:
        text = "-".join(filter(None, (match[1], match[3], match[2])))
    elif (match := _CHARSET.fullmatch(text)) is not None:
        text = match[1]
    try:
        return langcodes.standardize_tag(text) if langcodes.tag_is_valid(text) else None
    except ValueError:
        return None


def match_language(tag: str, languages: Iterable[str]) -> str | None:
    """Return the nearest of *languages*, the first of those that are equally near; None if none is near enough.

    >>> [match_language(tag, ["zh-Hans", "en", "en-GB"]) for tag in ("zh-CN", "zh-TW", "en-AU", "en-US", "fr")]
    ['zh-Hans', None, 'en-GB', 'en', None]
    """
    distances = {language: langcodes.tag_distance(tag, language) for language in languages}
    nearest = min(distances, key=distances.__getitem__, default=None)
    return None if nearest is None or distances[nearest] > MAX_LANGUAGE_DISTANCE else nearest


def find_same_language(tag: str, languages: Iterable[str]) -> str | None:
    """Return the first of *languages* that is *tag* in another spelling, or with what it leaves out; None without one.

    >>> find_same_language("zh-CN", ["en", "zh-Hans"]), find_same_language("en-GB", ["en"])
    ('zh-Hans', None)
    """
    return next((language for language in languages if langcodes.tag_distance(tag, language) == 0), None)
