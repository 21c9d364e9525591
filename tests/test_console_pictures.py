"""Pictures of the console in the docs. `UPDATE_SCREENSHOTS=1 pytest tests/test_console_pictures.py` takes them anew."""

import os
import struct
from dataclasses import dataclass, field

import pytest
from console_page import ConsolePage
from fact_files import TESTS_FOLDER
from playwright.sync_api import expect
from service import run_serve

from audience import DeviceIndex
from audience.testing.devices import generate_devices

PICTURES_FOLDER = TESTS_FOLDER.parent / "docs" / "pictures"
MAX_PICTURE_BYTES = 150_000
AUDIENCE = "male AND (province:guangdong OR province:hunan) AND NOT version:1.0.2"
SEGMENTS = {
    "young": "male AND age < 30",
    "south": "province in (guangdong, hunan)",
    "newest": "version >= 1.10.0",
    "chinese": "language:zh",
}


@dataclass(frozen=True)
class Picture:
    """A picture: the view, and how it is shown."""

    name: str
    view: str
    query: dict[str, str] = field(default_factory=dict)
    width: int = 1280
    height: int = 720
    scheme: str = "light"
    language: str = "English"


PICTURES = (
    Picture("console", "funnel"),
    Picture("console-profile", "profile", {"against": ""}, scheme="dark"),
    Picture("console-overlap", "overlap"),
    Picture("console-phone", "funnel", width=380, height=720, language="中文"),
)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    index = DeviceIndex.build(generate_devices(100_000), folder / "devices.index", timezone="Asia/Shanghai")
    for name, text in SEGMENTS.items():
        index.save_segment(name, text)
    with run_serve(folder / "devices.index", folder=folder) as process:
        yield process


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_docs_have_a_picture_of_each_view(page, service, picture):
    page.set_viewport_size({"width": picture.width, "height": picture.height})
    page.emulate_media(color_scheme=picture.scheme)
    ConsolePage(page, service.url).open(view=picture.view, expr=AUDIENCE, **picture.query)
    if picture.language != "English":
        page.get_by_role("button", name=picture.language).click()
    expect(page.get_by_test_id(f"view-{picture.view}").locator("table").first).to_be_visible()
    expect(page.locator(".is-stale")).to_have_count(0)
    page.wait_for_timeout(500)
    file = PICTURES_FOLDER / f"{picture.name}.png"
    taken = page.screenshot()
    if os.environ.get("UPDATE_SCREENSHOTS"):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(taken)
    kept = file.read_bytes()
    assert struct.unpack(">II", kept[16:24]) == (picture.width, picture.height)
    assert len(kept) <= MAX_PICTURE_BYTES
