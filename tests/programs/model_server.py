"""A scripted model on loopback, for real agent programs.

It speaks Anthropic Messages, OpenAI Responses, OpenAI Chat Completions and Gemini
generateContent. A script decides each answer from the conversation alone, so several
programs may talk to one server at the same time. Every request is recorded.

The formats are those of platform.claude.com/docs (Messages, streaming),
platform.openai.com/docs (Responses and Chat Completions, streaming) and ai.google.dev
(generateContent).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any, Protocol

MODEL = "scripted"
Json = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """A call of a tool."""

    tool: str
    arguments: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What the model answers: text, calls of tools, or both.

    `tokens` is the size of the conversation that it reports.
    """

    text: str = ""
    calls: Sequence[Call] = ()
    tokens: int = 10


@dataclass(frozen=True)
class Refusal:
    """An HTTP error in place of an answer."""

    status: int
    message: str


@dataclass(frozen=True)
class ModelRequest:
    """A request to the model, the same for each dialect.

    `texts` holds the system prompt and what users wrote, `results` the results of tools,
    in order. `turns` is the number of answers of the model in the conversation so far.
    """

    dialect: str
    path: str
    body: Json
    texts: Sequence[str]
    tools: Sequence[str]
    results: Sequence[str]
    turns: int

    @property
    def text(self) -> str:
        """Return the system prompt and what users wrote, as one text."""
        return "\n".join(self.texts)

    def tools_of(self, prefix: str) -> set[str]:
        """Return the names of the tools with a prefix, without it."""
        return {
            tool.removeprefix(prefix)
            for tool in self.tools
            if tool.startswith(prefix)
        }


Answer = Reply | Refusal
Script = Callable[[ModelRequest], Answer]
Step = Answer | Script


def say(text: str) -> Reply:
    """Return an answer that ends the turn."""
    return Reply(text=text)


def call(tool: str, **arguments: object) -> Reply:
    """Return an answer that calls one tool."""
    return Reply(calls=[Call(tool, arguments)])


def steps(*answers: Step) -> Script:
    """Return a script that gives one answer after the other, and repeats the last.

    Requests without tools, such as those for a title, are answered with a word.
    """

    def answer(request: ModelRequest) -> Answer:
        if not request.tools:
            return say("Fine.")
        step = answers[min(request.turns, len(answers) - 1)]
        return step(request) if callable(step) else step

    return answer


class ModelServer:
    """The server: its address, its script, and what it was asked."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._requests: list[ModelRequest] = []
        self._changed = Condition()
        self._http = _HttpServer(self)
        self._thread = Thread(target=self._http.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Return the address, without a path."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def requests(self) -> Sequence[ModelRequest]:
        """Return the requests that came with tools: those of the agent's own turns."""
        with self._changed:
            return [each for each in self._requests if each.tools]

    @property
    def all_requests(self) -> Sequence[ModelRequest]:
        """Return every request, with those for titles and the like."""
        with self._changed:
            return list(self._requests)

    def wait_for(self, count: int, timeout_s: float = 60) -> None:
        """Wait until this number of requests with tools has come."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: (
                    sum(bool(each.tools) for each in self._requests) >= count
                ),
                timeout_s,
            )
        assert came, f"{len(self.requests)} of {count} requests came"

    def answer(self, request: ModelRequest) -> Answer:
        """Record a request, and return the script's answer."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
        return self.script(request)

    def start(self) -> None:
        """Serve until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and close every connection."""
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


#: Starts a server with a script.
ScriptedModel = Callable[[Script], ModelServer]


@contextmanager
def model_server(script: Script) -> Iterator[ModelServer]:
    """Run a scripted model."""
    server = ModelServer(script)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class Dialect(Protocol):
    """One provider's format of requests and answers."""

    name: str

    def speaks(self, path: str) -> bool:
        """Return whether a path is this dialect's."""

    def read(self, path: str, body: Json) -> ModelRequest:
        """Return the request in a body."""

    def whole(self, reply: Reply) -> Json:
        """Return the answer as one document."""

    def events(self, reply: Reply) -> Iterator[Json]:
        """Yield the events of the answer."""

    def refusal(self, refusal: Refusal) -> Json:
        """Return the document of an error."""


class AnthropicMessages:
    """POST /v1/messages."""

    name = "anthropic"

    def speaks(self, path: str) -> bool:
        """Return whether the path is that of Messages."""
        return path.endswith("/v1/messages")

    def read(self, path: str, body: Json) -> ModelRequest:
        """Return the request."""
        texts, results = [*_texts(body.get("system", ""))], []
        for message in body["messages"]:
            if message["role"] == "assistant":
                continue
            for part in _parts(message["content"]):
                if part["type"] == "tool_result":
                    results.append("\n".join(_texts(part.get("content", ""))))
                elif part["type"] == "text":
                    texts.append(part["text"])
        tools = [each["name"] for each in body.get("tools", ())]
        turns = sum(
            message["role"] == "assistant" for message in body["messages"]
        )
        return ModelRequest(
            self.name, path, body, texts, tools, results, turns
        )

    def whole(self, reply: Reply) -> Json:
        """Return the message."""
        blocks: list[Json] = []
        if reply.text:
            blocks.append({"type": "text", "text": reply.text})
        blocks += [
            {
                "type": "tool_use",
                "id": _call_id(),
                "name": call.tool,
                "input": call.arguments,
            }
            for call in reply.calls
        ]
        return {
            "id": _new_id("msg"),
            "type": "message",
            "role": "assistant",
            "model": MODEL,
            "content": blocks,
            "stop_reason": "tool_use" if reply.calls else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 5},
        }

    def events(self, reply: Reply) -> Iterator[Json]:
        """Yield the message in parts."""
        message = self.whole(reply)
        blocks = message["content"]
        start = {**message, "content": [], "stop_reason": None}
        yield {"type": "message_start", "message": start}
        for index, block in enumerate(blocks):
            if block["type"] == "text":
                empty = {**block, "text": ""}
                delta = {"type": "text_delta", "text": block["text"]}
            else:
                empty = {**block, "input": {}}
                delta = {
                    "type": "input_json_delta",
                    "partial_json": json.dumps(block["input"]),
                }
            of_block = {"index": index}
            yield {
                "type": "content_block_start",
                **of_block,
                "content_block": empty,
            }
            yield {"type": "content_block_delta", **of_block, "delta": delta}
            yield {"type": "content_block_stop", **of_block}
        yield {
            "type": "message_delta",
            "delta": {
                "stop_reason": message["stop_reason"],
                "stop_sequence": None,
            },
            "usage": message["usage"],
        }
        yield {"type": "message_stop"}

    def refusal(self, refusal: Refusal) -> Json:
        """Return the error."""
        error = {"type": "api_error", "message": refusal.message}
        return {"type": "error", "error": error}


class OpenAIResponses:
    """POST /v1/responses."""

    name = "responses"

    def speaks(self, path: str) -> bool:
        """Return whether the path is that of Responses."""
        return path.endswith("/responses")

    def read(self, path: str, body: Json) -> ModelRequest:
        """Return the request."""
        texts, results, turns = [body.get("instructions") or ""], [], 0
        own = False
        given = body["input"]
        items = (
            [{"role": "user", "content": given}]
            if isinstance(given, str)
            else given
        )
        for item in items:
            # The items of one answer follow each other.
            was_own, own = own, _is_of_model(item)
            turns += own and not was_own
            if item.get("type", "message") == "message" and not own:
                texts += _texts(item["content"])
            elif str(item.get("type")).endswith("_output"):
                results.append("\n".join(_texts(item["output"])))
        tools = [*_tool_names(body.get("tools", ()))]
        return ModelRequest(
            self.name, path, body, texts, tools, results, turns
        )

    def whole(self, reply: Reply) -> Json:
        """Return the response."""
        output: list[Json] = []
        if reply.text:
            content = {
                "type": "output_text",
                "text": reply.text,
                "annotations": [],
            }
            output.append(
                {
                    "type": "message",
                    "id": _new_id("msg"),
                    "role": "assistant",
                    "status": "completed",
                    "content": [content],
                }
            )
        output += [
            {
                "type": "function_call",
                "id": _new_id("fc"),
                "call_id": _call_id(),
                "status": "completed",
                **_name_and_namespace(call.tool),
                "arguments": json.dumps(call.arguments),
            }
            for call in reply.calls
        ]
        return {
            "id": _new_id("resp"),
            "object": "response",
            "created_at": 0,
            "status": "completed",
            "model": MODEL,
            "output": output,
            "usage": {
                "input_tokens": reply.tokens,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": reply.tokens + 5,
            },
        }

    def events(self, reply: Reply) -> Iterator[Json]:
        """Yield the response in parts."""
        response = self.whole(reply)
        begun = {**response, "output": [], "status": "in_progress"}
        yield {"type": "response.created", "response": begun}
        for index, item in enumerate(response["output"]):
            of_item = {"output_index": index, "item": item}
            yield {"type": "response.output_item.added", **of_item}
            if item["type"] == "message":
                yield {
                    "type": "response.output_text.delta",
                    "output_index": index,
                    "content_index": 0,
                    "item_id": item["id"],
                    "delta": reply.text,
                }
            yield {"type": "response.output_item.done", **of_item}
        yield {"type": "response.completed", "response": response}

    def refusal(self, refusal: Refusal) -> Json:
        """Return the error."""
        return _openai_error(refusal)


class OpenAIChat:
    """POST /v1/chat/completions."""

    name = "chat"

    def speaks(self, path: str) -> bool:
        """Return whether the path is that of Chat Completions."""
        return path.endswith("/chat/completions")

    def read(self, path: str, body: Json) -> ModelRequest:
        """Return the request."""
        texts: list[str] = []
        results: list[str] = []
        for message in body["messages"]:
            found = _texts(message.get("content") or "")
            if message["role"] == "tool":
                results.append("\n".join(found))
            elif message["role"] != "assistant":
                texts += found
        tools = [*_tool_names(body.get("tools", ()))]
        turns = sum(
            message["role"] == "assistant" for message in body["messages"]
        )
        return ModelRequest(
            self.name, path, body, texts, tools, results, turns
        )

    def whole(self, reply: Reply) -> Json:
        """Return the completion."""
        return self._document("chat.completion", "message", reply)

    def events(self, reply: Reply) -> Iterator[Json]:
        """Yield the completion, as one part."""
        yield self._document("chat.completion.chunk", "delta", reply)

    def _document(self, kind: str, name: str, reply: Reply) -> Json:
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.calls:
            message["tool_calls"] = [
                {
                    "index": index,
                    "id": _call_id(),
                    "type": "function",
                    "function": {
                        "name": call.tool,
                        "arguments": json.dumps(call.arguments),
                    },
                }
                for index, call in enumerate(reply.calls)
            ]
        return {
            "id": _new_id("chatcmpl"),
            "object": kind,
            "created": 0,
            "model": MODEL,
            "choices": [
                {
                    "index": 0,
                    name: message,
                    "finish_reason": "tool_calls" if reply.calls else "stop",
                }
            ],
            "usage": {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 15,
            },
        }

    def refusal(self, refusal: Refusal) -> Json:
        """Return the error."""
        return _openai_error(refusal)


class Gemini:
    """POST /v1beta/models/MODEL:generateContent, and :streamGenerateContent."""

    name = "gemini"

    def speaks(self, path: str) -> bool:
        """Return whether the path is that of generateContent."""
        return path.lower().endswith("generatecontent")

    def read(self, path: str, body: Json) -> ModelRequest:
        """Return the request."""
        system = body.get("systemInstruction") or {}
        texts = [
            part["text"] for part in _list(system.get("parts", ())) if part
        ]
        results: list[str] = []
        for content in body["contents"]:
            if content["role"] == "model":
                continue
            for part in content["parts"]:
                if "functionResponse" in part:
                    response = part["functionResponse"]["response"]
                    results.append(json.dumps(response, ensure_ascii=False))
                elif "text" in part:
                    texts.append(part["text"])
        tools = [
            function["name"]
            for tool in body.get("tools", ())
            for function in tool.get("functionDeclarations", ())
        ]
        turns = sum(content["role"] == "model" for content in body["contents"])
        return ModelRequest(
            self.name, path, body, texts, tools, results, turns
        )

    def whole(self, reply: Reply) -> Json:
        """Return the response."""
        parts: list[Json] = [{"text": reply.text}] if reply.text else []
        parts += [
            {"functionCall": {"name": call.tool, "args": call.arguments}}
            for call in reply.calls
        ]
        return {
            "candidates": [
                {
                    "content": {"role": "model", "parts": parts},
                    "finishReason": "STOP",
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": reply.tokens,
                "candidatesTokenCount": 5,
                "totalTokenCount": reply.tokens + 5,
            },
            "modelVersion": MODEL,
        }

    def events(self, reply: Reply) -> Iterator[Json]:
        """Yield the response, as one part."""
        yield self.whole(reply)

    def refusal(self, refusal: Refusal) -> Json:
        """Return the error."""
        error = {
            "code": refusal.status,
            "message": refusal.message,
            "status": "INTERNAL",
        }
        return {"error": error}


DIALECTS: Sequence[Dialect] = (
    AnthropicMessages(),
    OpenAIResponses(),
    OpenAIChat(),
    Gemini(),
)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, model: ModelServer) -> None:
        self.model = model
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: object) -> None:
        """Say nothing of a program that was killed in the middle of an answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _HttpServer

    def do_HEAD(self) -> None:
        self._send(200, "application/json", b"")

    def do_GET(self) -> None:
        self._send_json(404, {"error": {"message": "Not here."}})

    def do_POST(self) -> None:
        body = json.loads(
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            or b"{}"
        )
        path = self.path.partition("?")[0]
        if path.endswith(("count_tokens", ":countTokens")):
            self._send_json(200, {"input_tokens": 10, "totalTokens": 10})
            return
        for dialect in DIALECTS:
            if dialect.speaks(path):
                self._answer(dialect, path, body)
                return
        self._send_json(404, {"error": {"message": "Not here."}})

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def _answer(self, dialect: Dialect, path: str, body: Json) -> None:
        request = dialect.read(path, body)
        answer = self.server.model.answer(request)
        if isinstance(answer, Refusal):
            self._send_json(answer.status, dialect.refusal(answer))
        elif body.get("stream") or "stream" in path:
            events = dialect.events(answer)
            self._send(200, "text/event-stream", _stream(events))
        else:
            self._send_json(200, dialect.whole(answer))

    def _send_json(self, status: int, document: Json) -> None:
        self._send(status, "application/json", json.dumps(document).encode())

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _stream(events: Iterator[Json]) -> bytes:
    lines = []
    for event in events:
        name = f"event: {event['type']}\n" if "type" in event else ""
        lines.append(f"{name}data: {json.dumps(event)}\n\n")
    return "".join(lines).encode()


def _parts(content: str | Sequence[Json]) -> Sequence[Json]:
    """Return the parts of a content, which may be one text."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content


def _texts(content: str | Sequence[Json]) -> Sequence[str]:
    return [part["text"] for part in _parts(content) if "text" in part]


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _is_of_model(item: Json) -> bool:
    kind = item.get("type", "message")
    if kind == "message":
        return bool(item["role"] == "assistant")
    return not kind.endswith("_output")


def _tool_names(tools: Sequence[Json]) -> Iterator[str]:
    """Yield the names of tools; those of a namespace as `NAMESPACE.NAME`."""
    for tool in tools:
        function = tool.get("function", tool)
        if "tools" in tool:
            for name in _tool_names(tool["tools"]):
                yield f"{tool['name']}.{name}"
        else:
            yield function.get("name") or tool["type"]


def _name_and_namespace(tool: str) -> Json:
    namespace, dot, name = tool.rpartition(".")
    return {"name": name, "namespace": namespace} if dot else {"name": tool}


def _openai_error(refusal: Refusal) -> Json:
    return {
        "error": {
            "message": refusal.message,
            "type": "server_error",
            "code": None,
        }
    }


def _new_id(kind: str) -> str:
    _IDS[kind] = _IDS.get(kind, 0) + 1
    return f"{kind}_{_IDS[kind]}"


def _call_id() -> str:
    return _new_id("call")


_IDS: dict[str, int] = {}
