"""Tools for agents: calls by the client of the package `mcp`, in this process and with a process of `audience mcp`."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fact_files import TESTS_FOLDER, read_facts
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, Tool
from service import build_index, make_table

from audience import DeviceIndex, parse
from audience.agent_tools.instructions import EXAMPLES, write_instructions
from audience.agent_tools.mcp_server import build_mcp_server
from audience.agent_tools.tools import TOOLS, build_output_schema
from audience.server.indexes import ServedIndexes
from audience.server.settings import ServeSettings

T = TypeVar("T")
FACTS = read_facts(TESTS_FOLDER / "agent_calls" / "calls.txt")
ID = "t17"


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    """An index with a segment."""
    return build_index(tmp_path_factory.mktemp("mcp"))


def with_client(function: Callable[[Client], Awaitable[T]], *indexes: Path, **options: Any) -> T:
    """Result of a function that has a client of a server in this process."""

    async def run() -> T:
        folders = {path.name.removesuffix(".index"): path for path in indexes}
        server = build_mcp_server(ServeSettings(folders), ServedIndexes.open(folders))
        async with Client(server, **options) as client:
            return await function(client)

    return asyncio.run(run())


def with_process(function: Callable[[Client], Awaitable[T]], *arguments: Any, mode: str = "auto") -> T:
    """Result of a function that has a client of a process of `audience mcp`."""

    async def run() -> T:
        command = ["-m", "audience", "mcp", *map(str, arguments)]
        parameters = StdioServerParameters(command=sys.executable, args=command, env=dict(os.environ))
        async with Client(parameters, mode=mode) as client:
            return await function(client)

    return asyncio.run(run())


@pytest.fixture(scope="module")
def replies(index) -> list[CallToolResult]:
    """The answers of all calls of the facts, by one client, which holds each against the schema of its tool."""

    async def call_all(client: Client) -> list[CallToolResult]:
        await client.list_tools()
        return [await client.call_tool(tool, json.loads(arguments)) for tool, arguments, _ in FACTS]

    return with_client(call_all, index)


@pytest.mark.parametrize("number", range(len(FACTS)), ids=[f"{tool} {left[:60]}" for tool, left, _ in FACTS])
def test_tools_answer_as_the_facts_say(replies, number):
    reply, (_, _, right) = replies[number], FACTS[number]
    if right.startswith("refused"):
        assert reply.is_error
        problem = reply.structured_content["problems"][0]
        assert [problem["code"], problem["path"]] == [*right.split()[1:], None][:2], problem
        assert problem["code"] in reply.content[0].text
        return
    assert not reply.is_error, reply.content
    assert json.loads(reply.content[0].text) == reply.structured_content
    path, _, wanted = right.partition(" ")
    assert find(reply.structured_content, path) == json.loads(wanted)


def find(form: Any, path: str) -> Any:
    """The value at *path* of JSON data, where an item of a list has its number or its name."""
    for name in path.split("."):
        if isinstance(form, list) and not name.isdigit():
            form = next(item for item in form if item["name"] == name)
        else:
            form = form[int(name)] if isinstance(form, list) else form[name]
    return form


def test_errors_underline_the_place_and_give_a_hint(index):
    reply = with_client(lambda client: client.call_tool("count", {"expr": "male AND (age < 30"}), index)
    assert reply.content[0].text.splitlines() == [
        "unclosed-bracket: this bracket is not closed at arguments.expr",
        " 1 | male AND (age < 30",
        "   |          ^",
        "   = hint: add )",
    ]


def test_tools_are_read_only_and_described(index):
    tools = with_client(lambda client: client.list_tools(), index).tools
    assert {"count", "explain", "complete", "profile", "plan", "translate"} <= {tool.name for tool in tools}
    for tool in tools:
        assert tool.annotations.read_only_hint and tool.annotations.destructive_hint is False, tool.name
        assert tool.description.endswith("."), tool.name
        for name, field in tool.input_schema.get("properties", {}).items():
            assert field.get("description"), f"{tool.name}.{name}"
        undescribed = [
            name for name, field in tool.output_schema.get("properties", {}).items() if "description" not in field
        ]
        assert undescribed == [] or tool.name == "translate", tool.name


def test_the_only_index_is_no_argument_and_one_of_several_is(index, tmp_path):
    other = build_index(tmp_path, 30, "others.index")

    async def ask(client: Client) -> tuple[dict[str, Tool], CallToolResult, CallToolResult]:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        one = await client.call_tool("count", {"expr": "everyone", "index": "others"})
        return tools, one, await client.call_tool("count", {"expr": "everyone"})

    tools, one, unnamed = with_client(ask, index, other)
    assert tools["count"].input_schema["properties"]["index"]["enum"] == ["devices", "others"]
    assert "index" in tools["count"].input_schema["required"]
    assert "index" in tools["translate"].input_schema["properties"]
    assert "index" not in tools["translate"].input_schema["required"]
    assert one.structured_content["count"] == 30
    assert unnamed.structured_content["problems"][0]["hint"] == "it is one of devices, others"
    alone = with_client(lambda client: client.list_tools(), index).tools
    assert not [tool.name for tool in alone if "index" in tool.input_schema.get("properties", {})]


def test_an_unknown_tool_is_an_error_of_the_protocol_with_a_hint(index):
    async def ask(client: Client) -> str:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("cuont", {})
        return str(caught.value)

    assert with_client(ask, index) == "there is no tool 'cuont': did you mean count?"


def test_a_crash_is_answered_without_its_details(index, monkeypatch, caplog):
    monkeypatch.setattr("audience.agent_tools.mcp_server.call_tool", lambda *_: 1 / 0)
    reply = with_client(lambda client: client.call_tool("count", {"expr": "male"}), index)
    assert reply.is_error
    assert reply.structured_content["problems"][0]["code"] == "internal"
    assert "ZeroDivisionError" in caplog.text
    assert "division" not in str(reply)


def test_no_tool_answers_ids(index):
    """All answers to questions of a device, together, do not have its id unless the question has it."""

    async def ask(client: Client) -> list[CallToolResult]:
        questions = {tool: arguments for tool, arguments, _ in reversed(FACTS) if ID not in arguments}
        return [await client.call_tool(tool, json.loads(arguments)) for tool, arguments in questions.items()]

    answers = with_client(ask, index)
    assert len(answers) == len(TOOLS)
    assert f'"{ID}"' not in json.dumps([answer.structured_content for answer in answers])


def test_examples_of_the_instructions_are_expressions():
    assert {parse(expr) for expr in EXAMPLES}
    assert "The indexes are a, b." in write_instructions(["a", "b"])
    assert "indexes are" not in write_instructions(["a"])


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_schemas_of_answers_are_objects_that_define_what_they_refer_to(tool):
    schema = build_output_schema(tool)
    assert schema["type"] == "object"
    referred = {word.removeprefix("#/$defs/") for word in json.dumps(schema).split('"') if word.startswith("#/$defs/")}
    assert referred <= set(schema.get("$defs", {}))


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_process_answers_over_stdio_and_moves_on_to_newer_snapshots(tmp_path, mode):
    """In both of the protocol's ways to begin."""
    path = build_index(tmp_path)

    async def ask(client: Client) -> list[int]:
        before = await client.call_tool("count", {"expr": "vip"})
        await asyncio.to_thread(DeviceIndex.open(path).remove, make_table()["token"].to_list()[:100])
        after = before
        while after.structured_content["snapshot"] == 1:
            await asyncio.sleep(0.05)
            after = await client.call_tool("count", {"expr": "vip"})
        return [each.structured_content["count"] for each in (before, after)]

    assert with_process(ask, path, mode=mode) == [200, DeviceIndex.open(path).count("vip")]


def start(*arguments: Any) -> subprocess.Popen:
    """A process of `audience mcp` that has answered a line that is not JSON and a ping."""
    command = [sys.executable, "-m", "audience", "mcp", *map(str, arguments)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    request = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    process.stdin.write(f"not JSON\n\n{json.dumps(request)}\n")
    process.stdin.flush()
    while json.loads(process.stdout.readline()).get("id") != 1:
        pass
    return process


def test_the_process_ends_with_its_input(index):
    process = start(index)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


def test_ctrl_c_ends_the_process_while_it_waits_for_input(index):
    process = start(index)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "")


def test_bad_folders_and_catalogs_are_refused_at_once(audience, index, tmp_path):
    code, out, err = audience("mcp", str(tmp_path / "none.index"))
    assert (code, out) == (2, "")
    assert "none.index" in err
    (tmp_path / "catalog.toml").write_text("[province\n")
    code, _, err = audience("mcp", str(index), "--catalog", str(tmp_path / "catalog.toml"))
    assert code == 2
    assert err.startswith("bad-toml: ")


def test_without_the_extra_the_error_says_what_to_install(index):
    program = "import sys; sys.modules['mcp'] = None; from audience.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "mcp", str(index)], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 2
    assert "pip install 'audience[mcp]'" in done.stderr
