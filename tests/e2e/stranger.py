"""Answers on a node's name and port, always with the same old answer of that node."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Stranger(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = sys.argv[2].encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815


ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Stranger).serve_forever()
