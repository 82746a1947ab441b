"""A Starlette application that mails: now, after the response, and by the local daemon.

POSTHOUSE_URL=smtps://name:password@mail.example.org uvicorn starlette_shop:app
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from posthouse import Message
from posthouse.starlette import Mail

mail = Mail()
MESSAGE = Message("shop@example.org", "ann@example.net", subject="Your order", text="Thank you!")


async def now(request: Request) -> JSONResponse:
    return JSONResponse({"mailed": (await mail.send(MESSAGE)).ok})


async def later(request: Request) -> JSONResponse:
    return JSONResponse({"id": (await mail.enqueue(MESSAGE)).queue_id}, background=mail.background(MESSAGE))


app = Starlette(routes=[Route("/now", now), Route("/later", later)], lifespan=mail.lifespan)
