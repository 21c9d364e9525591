"""A bare handler of the framework of the service, with nothing around it: what `benchmarks.service` compares with.

python -m benchmarks.bare_service INDEX PORT
"""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from audience import DeviceIndex

index = DeviceIndex.open(sys.argv[1])


async def count(request: Request) -> JSONResponse:
    body = await request.json()
    return JSONResponse({"count": index.count(body["expr"])})


async def members(request: Request) -> JSONResponse:
    body = await request.json()
    names, exprs = [*body["exprs"]], [*body["exprs"].values()]
    answers = {each: index.member(each, exprs) for each in body["ids"]}
    members = {
        each: [name for name, is_in in zip(names, found, strict=True) if is_in] for each, found in answers.items()
    }
    return JSONResponse({"members": members})


if __name__ == "__main__":
    routes = [Route("/count", count, methods=["POST"]), Route("/members", members, methods=["POST"])]
    uvicorn.run(Starlette(routes=routes), port=int(sys.argv[2]), http="httptools", loop="asyncio", log_level="critical")
