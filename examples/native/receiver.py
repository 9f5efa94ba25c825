# Receives webhooks in the native format and verifies their signature. Set WEBHOOK_SECRET to the
# webhook's secret and run it.
import base64, hashlib, hmac, json, os, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
if not KEY:
    raise SystemExit("set WEBHOOK_SECRET")


def verify(headers, body):
    sent = headers.get("Webhook-Timestamp", "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > 300:
        return False
    signed = f"{headers.get('Webhook-Id', '')}.{sent}.".encode() + body
    want = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    given = headers.get("Webhook-Signature", "").split()
    return any(hmac.compare_digest(g.encode(), want.encode()) for g in given)


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        ok = verify(self.headers, body)
        if ok:
            print(self.headers["Webhook-Id"], json.loads(body)["type"], flush=True)
        self.send_response(204 if ok else 401)
        self.end_headers()


host, port = os.environ.get("ADDR", "127.0.0.1:9003").split(":")
ThreadingHTTPServer((host, int(port)), Hook).serve_forever()
