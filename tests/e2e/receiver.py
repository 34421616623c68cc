"""Receives webhooks on a port, verifies them, and prints one line of JSON for each."""

import base64
import hashlib
import hmac
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dragon.protocol import event
from dragon.protocol.committee import Committee

PORT, SECRET = int(sys.argv[1]), base64.b64decode(sys.argv[2].removeprefix("whsec_"))
COMMITTEE = Committee.load(Path("/fleet/committee.json").read_bytes())


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        identity = self.headers["webhook-id"]
        signed = f"{identity}.{self.headers['webhook-timestamp']}.".encode() + body
        mac = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
        message = json.loads(body)
        claims = []
        for incident in message["data"]["incidents"]:
            for found in (incident["event"], incident["end_event"]):
                if found is not None:
                    certificate = event.decode(found)
                    certificate.verify(COMMITTEE)  # an exception ends the request without an answer
                    claims.append(certificate.claim.members())
        received = {
            "id": identity,
            "type": message["type"],
            "is_signed": f"v1,{mac}" in self.headers["webhook-signature"].split(),
            "claims": claims,
        }
        print(json.dumps(received), flush=True)  # noqa: T201
        self.send_response(204)
        self.end_headers()


ThreadingHTTPServer(("0.0.0.0", PORT), Receiver).serve_forever()
