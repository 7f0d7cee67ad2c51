"""A service that sends back what it is sent, over the WebSocket code of the real one.

The Autobahn cases are written against an echo server: each sends messages and looks at what comes back, at how the
connection closes, and at the code. No endpoint of ours echoes, so this one exists for the cases alone. It has nothing
of its own but the lines of `echo`: handshake, parser, frames, compression, flow and closing are those of
`consumers/websocket`, and so is the event loop.

    python -m support.echo PORT
"""

from __future__ import annotations

import asyncio
import math
import sys

import uvloop
from aiohttp import web

from headrace.consumers.websocket.frames import Opcode, frame
from headrace.consumers.websocket.handshake import shake_hands
from headrace.consumers.websocket.socket import HIGH_WATER_BYTES, Socket
from headrace.http.problems import problem_details

MAX_BYTES = 32 * 2**20
"""The cases send messages of 16 MiB."""


async def echo(request: web.Request) -> web.StreamResponse:
    agreed = shake_hands(request, ())
    socket = Socket((), math.inf, MAX_BYTES, agreed.deflate)

    def send_back(opcode: Opcode, message: bytes) -> None:
        if socket.deflate is None:
            socket.send(opcode, message)
        else:
            # Also what is too small to be worth it: kosoku 0.1.0 runs its groups 12 and 13 into an error of its own
            # where it offered compression and an answer is not compressed.
            socket.write(frame(opcode, socket.deflate.compress(message), compressed=True), ())

    socket.on_message = send_back
    assert request.transport is not None
    request.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
    socket.take_over(request, agreed.head())
    await asyncio.sleep(0)
    return web.Response()


async def serve(port: int) -> None:
    app = web.Application(middlewares=[problem_details])
    app.add_routes([web.get("/{path:.*}", echo)])
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
