"""Commands `sync`, `status`, `resume` and `cancel` on an index, against the sandbox."""

import json

import polars as pl
import pytest

from audience.cli.app import run
from audience.delivery.syncing.applications import cancel_syncs
from audience.delivery.syncing.status import SyncStatus
from audience.delivery.syncing.watching import POLL_SECONDS, watch_index
from audience.errors import LockedError, Problem
from audience.index.storage.published import open_storage
from audience.sandbox import Population, Sandbox

TABLE = pl.DataFrame(
    {"registration_id": ["r1", "r2", "r3"], "tags": [["vip"], ["vip", "new"], []]},
    schema_overrides={"tags": pl.List(pl.String)},
)


@pytest.fixture
def sandbox():
    population = Population(TABLE.select("registration_id"))
    with Sandbox(population, rate=None) as started:
        yield started


@pytest.fixture
def audience(tmp_path, capsys, monkeypatch, sandbox):
    """Run a command beside an index; its exit code, standard output and standard error."""
    from audience import DeviceIndex

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("AUDIENCE_ENGAGELAB_APP_KEY", "sandbox-key")
    monkeypatch.setenv("AUDIENCE_ENGAGELAB_MASTER_SECRET", "sandbox-secret")
    DeviceIndex.build(TABLE, tmp_path / "d.index")
    (tmp_path / "c.toml").write_text('[tag]\nat = ["engagelab"]\n')

    def command(*words: str):
        with pytest.raises(SystemExit) as ended:
            run(list(words))
        return ended.value.code, *capsys.readouterr()

    return command


def sync_words(sandbox, *words):
    return (
        *("sync", "d.index", "--vendor", "engagelab", "--catalog", "c.toml"),
        *("--host", sandbox.url, "--attempts", "2", *words),
    )


def test_a_sync_and_its_status(audience, sandbox):
    code, out, err = audience(*sync_words(sandbox, "--json"))
    [status] = json.loads(out)
    assert (code, status["state"], status["calls"]["done"]) == (0, "complete", 2), err
    planned = json.loads(err.splitlines()[0])
    assert (planned["calls"], planned["min_calls"]) == (2, 2)
    assert sandbox.tags("engagelab") == {"new": ["r2"], "vip": ["r1", "r2"]}
    code, out, _ = audience("status", "d.index")
    assert code == 0 and "the vendor has the tags of the snapshot" in out and "sandbox-key" not in out


def make_other_index(folder):
    """Build a second index beside the first, of which r2 is no vip and r3 is."""
    from audience import DeviceIndex

    rows = {"registration_id": ["r1", "r2", "r3"], "tags": [["vip"], ["new"], ["vip"]]}
    DeviceIndex.build(pl.DataFrame(rows), folder / "other.index")


def other_words(sandbox, *words):
    """Return the words of a sync of the second index."""
    return ["other.index" if word == "d.index" else word for word in sync_words(sandbox, *words)]


def test_two_indexes_of_one_application_notice_each_other(audience, sandbox, tmp_path):
    assert audience(*sync_words(sandbox))[0] == 0
    make_other_index(tmp_path)
    code, _, err = audience(*other_words(sandbox))
    assert (code, "synced-from-another-index: " in err, str(tmp_path / "d.index") in err) == (2, True, True)
    assert sandbox.tags("engagelab") == {"new": ["r2"], "vip": ["r1", "r2"]}
    assert audience(*other_words(sandbox, "--full"))[0] == 0

    code, out, _ = audience("plan", "d.index", "vip", "--vendor", "engagelab", "--catalog", "c.toml", "--json")
    [reason] = json.loads(out)["reasons"]
    assert reason["message"].endswith(f"another index has synced since: {tmp_path / 'other.index'}")
    for word in ("--dry-run", "--retry-unknown"):
        code, _, err = audience(*sync_words(sandbox, word))
        assert (code, "synced-from-another-index: " in err) == (2, True)
    assert audience(*sync_words(sandbox, "--from-vendor"))[0] == 0
    assert sandbox.tags("engagelab") == {"new": ["r2"], "vip": ["r1", "r2"]}
    _, out, _ = audience("plan", "d.index", "vip", "--vendor", "engagelab", "--catalog", "c.toml", "--json")
    assert json.loads(out)["native"]
    assert audience(*other_words(sandbox))[0] == 2


def test_what_a_sync_left_out_of_another_index_is_still_in_doubt(audience, sandbox, tmp_path):
    (tmp_path / "c.toml").write_text('[tag]\nat = ["engagelab"]\n')
    assert audience(*sync_words(sandbox))[0] == 0
    make_other_index(tmp_path)
    assert audience(*other_words(sandbox, "--full"))[0] == 0
    assert audience(*sync_words(sandbox, "--full", "--attributes", "new"))[0] == 0
    _, out, _ = audience("plan", "d.index", "vip", "--vendor", "engagelab", "--catalog", "c.toml", "--json")
    assert [each["code"] for each in json.loads(out)["reasons"]] == ["stale-at-vendor"]


def test_a_sync_to_a_mistaken_host_is_forgotten_when_it_is_cancelled(audience, sandbox):
    words = ("--host", "http://127.0.0.1:9", "--attempts", "1")
    assert audience(*("sync", "d.index", "--vendor", "engagelab", "--catalog", "c.toml"), *words)[0] == 1
    _, out, _ = audience("plan", "d.index", "vip", "--vendor", "engagelab", "--catalog", "c.toml", "--json")
    [reason] = json.loads(out)["reasons"]
    assert "run `audience resume INDEX`" in reason["hint"]
    code, out, _ = audience("cancel", "d.index")
    assert (code, "cancelled before its end" in out) == (0, True)
    code, _, err = audience("status", "d.index")
    assert (code, "no-sync" in err) == (2, True)
    assert audience(*sync_words(sandbox))[0] == 0


def test_a_cancelled_sync_that_has_reached_the_vendor_is_kept(audience, sandbox):
    sandbox.set_faults("refuse=21004@engagelab")
    assert audience(*sync_words(sandbox))[0] == 1
    sandbox.set_faults()
    assert audience(*sync_words(sandbox))[0] == 0
    sandbox.set_faults("refuse=21004@engagelab")
    assert audience(*sync_words(sandbox, "--full"))[0] == 1
    audience("cancel", "d.index")
    code, out, _ = audience("status", "d.index")
    assert (code, "cancelled" in out) == (1, True)


def test_a_folder_of_requests_is_no_index(audience, sandbox):
    assert audience("emit", "d.index", "vip", "--vendor", "engagelab", "-o", "run")[0] == 0
    code, _, err = audience(*["run" if word == "d.index" else word for word in sync_words(sandbox)])
    assert (code, "run is a folder of requests, not an index" in err) == (2, True)


def test_reasons_of_several_attributes_are_given_once(audience, sandbox):
    sandbox.set_faults("refuse=21004@engagelab")
    assert audience(*sync_words(sandbox))[0] == 1
    code, out, _ = audience("explain", "d.index", "vip AND new", "--vendors", "--catalog", "c.toml")
    assert (code, out.count("stale-at-vendor"), "vip, new" in " ".join(out.split())) == (0, 1, True)


def test_names_that_no_call_can_carry_are_left_out(audience, sandbox, tmp_path, monkeypatch):
    from audience import DeviceIndex

    monkeypatch.setenv("AUDIENCE_JPUSH_APP_KEY", "sandbox-key")
    monkeypatch.setenv("AUDIENCE_JPUSH_MASTER_SECRET", "sandbox-secret")
    (tmp_path / "c.toml").write_text('[tag]\nat = ["jpush"]\n')
    rows = {"registration_id": ["r1", "r2"], "tags": [["vip", ".."], ["vip"]]}
    DeviceIndex.build(pl.DataFrame(rows), tmp_path / "d.index", replace=True)
    words = ["jpush" if word == "engagelab" else word for word in sync_words(sandbox)]
    code, _, err = audience(*words)
    assert (code, "sync-left-out: 1 tag that cannot be set at jpush, such as .." in err) == (0, True), err
    assert sandbox.tags("jpush") == {"vip": ["r1", "r2"]}
    for text, is_native in (('".."', False), ('vip AND NOT ".."', False), ("vip", True)):
        _, out, _ = audience("plan", "d.index", text, "--vendor", "jpush", "--catalog", "c.toml", "--json")
        plan = json.loads(out)
        assert (bool(plan["native"]), plan["by_ids"] is None) == (is_native, is_native), text
    code, _, err = audience(*words, "--attributes", "..")
    assert (code, "cannot be in the address of a call" in err) == (2, True), err


def test_a_name_of_a_tag_that_the_catalog_gives_to_another_one_is_taken_from_its_devices(audience, sandbox, tmp_path):
    """No device has the city y, whose name is still that of vip at the vendor."""
    from audience import DeviceIndex

    rows = {"registration_id": ["r1", "r2"], "tags": [["vip"], ["vip"]], "city": ["x", "x"]}
    DeviceIndex.build(pl.DataFrame(rows), tmp_path / "d.index", replace=True)
    of_tag, of_city = '[tag]\nnames.engagelab = { vip = "m" }\n', '[city]\nnames.engagelab = { x = "c", y = "m" }\n'
    for catalog in (of_city, of_tag):
        (tmp_path / "c.toml").write_text(catalog)
        assert audience(*sync_words(sandbox))[0] == 0
    assert sandbox.tags("engagelab") == {"c": ["r1", "r2"], "m": ["r1", "r2"]}

    (tmp_path / "c.toml").write_text(of_city)
    words = ("plan", "d.index", "city:y", "--vendor", "engagelab", "--catalog", "c.toml", "--json")
    plan = json.loads(audience(*words)[1])
    assert (plan["native"], [each["code"] for each in plan["reasons"]]) == ([], ["stale-at-vendor"])
    assert "a sync has set 'm' for vip" in plan["reasons"][0]["message"]
    assert audience(*sync_words(sandbox))[0] == 0
    assert sandbox.tags("engagelab") == {"c": ["r1", "r2"]}
    assert len(json.loads(audience(*words)[1])["native"]) == 1
    (tmp_path / "c.toml").write_text(of_tag)
    words = ("plan", "d.index", "vip", "--vendor", "engagelab", "--catalog", "c.toml", "--json")
    assert not json.loads(audience(*words)[1])["native"]


@pytest.mark.parametrize("words", [(), ("--full",), ("--from-vendor",)])
def test_a_sync_of_bare_tags_leaves_names_of_other_attributes_alone(audience, sandbox, tmp_path, words):
    """Every name at the vendor could be a bare tag, and city_x is one of a city."""
    from audience import DeviceIndex

    rows = {"registration_id": ["r1", "r2"], "tags": [["vip"], ["vip"]], "city": ["x", None]}
    DeviceIndex.build(pl.DataFrame(rows), tmp_path / "d.index", replace=True)
    (tmp_path / "c.toml").write_text('[tag]\nat = ["engagelab"]\n[city]\nnames.engagelab = "city_{value}"\n')
    assert audience(*sync_words(sandbox))[0] == 0
    tags = sandbox.tags("engagelab")
    assert audience(*sync_words(sandbox, "--attributes", "tag", *words))[0] == 0
    assert sandbox.tags("engagelab") == tags == {"city_x": ["r1"], "vip": ["r1", "r2"]}
    assert audience("status", "d.index")[0] == 0


def test_a_tag_that_was_left_out_is_stale_when_its_name_is_its_own(audience, sandbox, tmp_path):
    """The name was also that of a city, so that the sync of all bare tags had left it out."""
    from audience import DeviceIndex

    rows = {"registration_id": ["r1", "r2"], "tags": [["vip", "new"], ["vip"]], "city": ["x", None]}
    DeviceIndex.build(pl.DataFrame(rows), tmp_path / "d.index", replace=True)
    (tmp_path / "c.toml").write_text('[tag]\nat = ["engagelab"]\n[city]\nnames.engagelab = { x = "c", y = "vip" }\n')
    assert audience(*sync_words(sandbox))[0] == 0
    assert sandbox.tags("engagelab") == {"c": ["r1"], "new": ["r1"]}
    (tmp_path / "c.toml").write_text('[tag]\nat = ["engagelab"]\n[city]\nnames.engagelab = { x = "c" }\n')

    def plan(text):
        _, out, _ = audience("plan", "d.index", text, "--vendor", "engagelab", "--catalog", "c.toml", "--json")
        return bool(json.loads(out)["native"]), [each["code"] for each in json.loads(out)["reasons"]]

    assert plan("vip") == (False, ["stale-at-vendor"]) and plan("new") == (True, [])
    assert audience(*sync_words(sandbox))[0] == 0
    assert sandbox.tags("engagelab") == {"c": ["r1"], "new": ["r1"], "vip": ["r1", "r2"]}
    assert plan("vip") == plan("new") == (True, [])


def test_a_dry_run_changes_nothing(audience, sandbox):
    code, out, _ = audience(*sync_words(sandbox, "--dry-run", "--json"))
    plan = json.loads(out)
    assert (code, plan["calls"], plan["attributes"]) == (
        0,
        2,
        [{"name": "tag", "tags": 2, "devices": 2, "added": 3, "removed": 0}],
    )
    assert sandbox.tags("engagelab") == {}
    assert audience("status", "d.index")[0] == 2


def test_an_interrupted_sync_is_resumed_or_cancelled(audience, sandbox, tmp_path):
    sandbox.set_faults("refuse")
    code, _, err = audience(*sync_words(sandbox))
    assert code == 1 and "sync-incomplete" in err and "audience resume d.index" in err
    assert audience("status", "d.index")[0] == 1
    sandbox.set_faults()
    code, out, err = audience("resume", "d.index")
    assert code == 0, err
    assert sandbox.tags("engagelab") == {"new": ["r2"], "vip": ["r1", "r2"]}
    sandbox.set_faults("refuse")
    assert audience(*sync_words(sandbox, "--full"))[0] == 1
    code, out, _ = audience("cancel", "d.index", "--vendor", "engagelab")
    assert code == 0 and "cancelled before its end" in out
    code, _, err = audience("resume", "d.index")
    assert code == 2 and "cancelled" in err
    assert [status.state for status in cancel_syncs(tmp_path / "d.index")] == ["cancelled"]
    sandbox.set_faults()
    assert audience(*sync_words(sandbox))[0] == 0


def test_an_attribute_that_leaves_the_catalog_is_removed_on_request_and_native_again_after_a_sync(
    audience, sandbox, tmp_path
):
    from audience import DeviceIndex

    DeviceIndex.build(TABLE.with_columns(city=pl.Series(["rome", "oslo", None])), tmp_path / "d.index", replace=True)
    catalog, without = tmp_path / "c.toml", '[city]\nnames.engagelab = "city_{value}"\n'
    everything = without + '[tag]\nat = ["engagelab"]\n'

    def is_native(text: str) -> bool:
        code, out, err = audience("plan", "d.index", text, "--vendor", "engagelab", "--catalog", "c.toml", "--json")
        assert code == 0, err
        return bool(json.loads(out)["native"])

    catalog.write_text(everything)
    assert audience(*sync_words(sandbox))[0] == 0 and is_native("vip")
    catalog.write_text(without)
    _, out, err = audience(*sync_words(sandbox, "--dry-run", "--json"))
    assert json.loads(out)["obsolete"] == [{"name": "tag", "tags": 2, "devices": 2}]
    assert "2 tags of tag on 2 devices, which the catalog and the index name no more, stay at the vendor" in err
    code, _, err = audience(*sync_words(sandbox, "--attributes", "tag"))
    assert code == 2 and "or remove what was synced: --remove-obsolete" in err
    assert audience(*sync_words(sandbox, "--remove-obsolete"))[0] == 0
    assert sorted(sandbox.tags("engagelab")) == ["city_oslo", "city_rome"]
    catalog.write_text(everything)
    assert not is_native("vip"), "the devices are the same, and the vendor has it no more"
    assert is_native("city:rome")
    assert audience(*sync_words(sandbox))[0] == 0 and is_native("vip")
    assert sandbox.tags("engagelab")["vip"] == ["r1", "r2"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--attributes", "vipp"), "no bare tag 'vipp'"),
        (("--key-type", "alias"), "not to 'alias'"),
        (("--watch", "--dry-run"), "--watch goes with none"),
        (("--attributes", "vip,registration_id"), "registration_id"),
    ],
)
def test_bad_input_exits_with_2_and_writes_nothing(audience, sandbox, tmp_path, words, found):
    code, out, err = audience(*sync_words(sandbox, *words))
    assert (code, out) == (2, "") and found in err
    assert not (tmp_path / "d.index" / "syncs").exists()


def test_a_vendor_without_tags_is_refused(audience):
    code, _, err = audience("sync", "d.index", "--vendor", "huawei", "--catalog", "c.toml")
    assert code == 2 and ("no-tags" in err or "no-delivery" in err)


def test_a_watch_syncs_each_new_snapshot_and_tries_again(audience, sandbox, tmp_path, monkeypatch):
    application = load_application(audience, sandbox, tmp_path)
    answers = ["complete", "incomplete", "locked", "complete", "cancelled"]
    statuses, errors, waits = [], [], []

    def sync() -> SyncStatus:
        if answers[0] == "locked":
            answers.pop(0)
            raise LockedError(Problem("locked", "another process"))
        return SyncStatus(application=application, vendor="v", number=1, state=answers.pop(0), attributes={})

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(statuses) == 1 or answers == ["cancelled"]:  # nothing else ends the wait after a complete sync
            from audience import DeviceIndex

            DeviceIndex.build(TABLE.head(len(statuses)), tmp_path / "d.index", replace=True)

    watch_index(open_storage(tmp_path / "d.index"), sync, statuses.append, errors.append, retry_seconds=3, sleep=sleep)
    assert [status.state for status in statuses] == ["complete", "incomplete", "complete", "cancelled"]
    assert (len(errors), len(waits)) == (1, 1 + 2 * int(3 / POLL_SECONDS) + 1)


def load_application(audience, sandbox, tmp_path):
    """Return the application of a sync that has ended."""
    from audience.delivery.syncing.applications import load_sync_statuses

    assert audience(*sync_words(sandbox))[0] == 0
    return load_sync_statuses(tmp_path / "d.index")[0].application
