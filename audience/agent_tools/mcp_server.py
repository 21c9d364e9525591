"""Server of the tools over the Model Context Protocol, on standard input and output."""

import asyncio
import logging
from functools import partial

import orjson
from mcp import types
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from audience import __version__
from audience.agent_tools.instructions import write_instructions
from audience.agent_tools.tools import TOOLS, AgentTool, build_input_schema, build_output_schema, call_tool
from audience.errors import AudienceError
from audience.json_forms.problems import problem_json
from audience.language.suggest import did_you_mean
from audience.server.field_descriptions import Json
from audience.server.indexes import ServedIndexes
from audience.server.pool import CallPool
from audience.server.problems import INTERNAL_PROBLEM, HttpError
from audience.server.settings import ServeSettings

READ_ONLY = types.ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
logger = logging.getLogger("audience.server")


def run_mcp_server(settings: ServeSettings, served: ServedIndexes) -> None:
    """Answer calls of tools until standard input ends.

    Args:
        settings: Settings with the indexes and the catalog.
        served: The indexes.
    """
    server = build_mcp_server(settings, served)
    served.watch()
    try:
        asyncio.run(_serve_stdio(server))
    finally:
        served.close()


def build_mcp_server(settings: ServeSettings, served: ServedIndexes) -> Server[Json]:
    """Return a server with the tools."""
    tools = [_describe_tool(tool, [*served.current]) for tool in TOOLS.values()]
    pool = CallPool(settings, "audience-tools")

    async def list_tools(
        _: ServerRequestContext[Json], params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=tools)

    async def answer_call(_: ServerRequestContext[Json], params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = TOOLS.get(params.name)
        if tool is None:
            hint = did_you_mean(params.name, TOOLS) or f"there is {', '.join(TOOLS)}"
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name!r:.80}: {hint}")
        try:
            form = await pool.run(partial(call_tool, tool, params.arguments or {}, settings, served))
        except AudienceError as error:
            return _refuse(error)
        except Exception:
            logger.exception("the tool %s has failed", tool.name)
            return _refuse(HttpError(500, INTERNAL_PROBLEM))
        return _answer(form)

    return Server(
        "audience",
        version=__version__,
        title="audience",
        instructions=write_instructions([*served.current]),
        on_list_tools=list_tools,
        on_call_tool=answer_call,
    )


async def _serve_stdio(server: Server[Json]) -> None:
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def _describe_tool(tool: AgentTool, index_names: list[str]) -> types.Tool:
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=build_input_schema(tool, index_names),
        output_schema=build_output_schema(tool),
        annotations=READ_ONLY,
    )


def _answer(form: Json) -> types.CallToolResult:
    text = orjson.dumps(form).decode()
    return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=form)


def _refuse(error: AudienceError) -> types.CallToolResult:
    """Return an error as an agent reads it: as text with the place underlined, and as JSON."""
    problems = [problem_json(problem) for problem in error.problems]
    text = types.TextContent(text=str(error))
    return types.CallToolResult(content=[text], structured_content={"problems": problems}, is_error=True)
