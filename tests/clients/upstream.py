"""A scripted Messages upstream, of the standard library alone.

    upstream.py MODE LOG

Listens on a free loopback port, prints it, and answers POST /v1/messages by MODE:

    ok                 a message, streamed or not, as asked
    529                529 overloaded_error
    event-error-first  a stream whose first event is an error (529 when no stream was asked for)
    outage             503 for 20 s from the first request on, then as ok

Every request is appended to LOG, one line each: method, target, mode and the credential's name, never its value.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODE, LOG = sys.argv[1], sys.argv[2]
LOCK = threading.Lock()
OUTAGE = 20
BEGAN = []


def is_out():
    """Whether the outage, which begins with the first request, still lasts."""
    with LOCK:
        BEGAN.append(time.monotonic())
        return MODE == "outage" and BEGAN[-1] - BEGAN[0] < OUTAGE


def error(kind):
    return {"type": "error", "error": {"type": kind, "message": "scripted"}, "request_id": "req_scripted"}


def message(model, content):
    return {
        "id": "msg_scripted",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "end_turn" if content else None,
        "stop_sequence": None,
        "usage": {"input_tokens": 10, "output_tokens": 4},
    }


def events(model, text):
    yield "message_start", {"message": message(model, [])}
    yield "content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}
    yield "ping", {}
    for word in text.split(" "):
        yield "content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": word + " "}}
    yield "content_block_stop", {"index": 0}
    yield "message_delta", {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 4}}
    yield "message_stop", {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def do_GET(self):
        self.note()
        self.send_json(200, {"data": [], "has_more": False})

    def do_HEAD(self):
        self.note()
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        self.note()
        if not self.path.split("?")[0].endswith("/v1/messages"):
            self.send_json(200, {"input_tokens": 10})
        elif is_out():
            self.send_json(503, error("api_error"))
        elif MODE == "529" or (MODE == "event-error-first" and not body.get("stream")):
            self.send_json(529, error("overloaded_error"))
        elif MODE == "event-error-first":
            self.send_events([("error", error("overloaded_error"))])
        elif body.get("stream"):
            self.send_events(events(body["model"], "hello from the scripted upstream"))
        else:
            text = {"type": "text", "text": "hello from the scripted upstream"}
            self.send_json(200, message(body["model"], [text]))

    def send_json(self, status, value):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def send_events(self, pairs):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for name, data in pairs:
            text = f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(text), text))
        self.wfile.write(b"0\r\n\r\n")

    def note(self):
        names = [name for name in ("x-api-key", "authorization") if self.headers[name]]
        with LOCK, open(LOG, "a", encoding="utf-8") as log:
            log.write(f"{self.command} {self.path} {MODE} {','.join(names)}\n")

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
