"""Take the webhooks of Posthouse: the signature is checked, and a line printed for each delivery that failed.

WEBHOOK_SECRET=… python hook_receiver.py 8900
"""

import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

SECRET = os.environ["WEBHOOK_SECRET"].encode()


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = dict(part.split("=") for part in self.headers.get("X-Posthouse-Signature", "t=,v1=").split(","))
        right = hmac.new(SECRET, said["t"].encode() + b"." + body, "sha256").hexdigest()
        good = hmac.compare_digest(right, said["v1"])
        if good and (event := json.loads(body))["event"] in ("failed", "expired"):
            told = event["delivery"]
            print(f"{told['recipient']}: {told.get('reply') or told['reason']}", flush=True)
        self.send_response(204 if good else 403)
        self.end_headers()


with HTTPServer(("127.0.0.1", int(sys.argv[1])), Hook) as server:
    print(f"listening on {server.server_port}", flush=True)
    server.serve_forever()
