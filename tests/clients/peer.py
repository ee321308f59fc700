"""peer.py follow URL N CHANNEL...: an orbit.v1 client on Debian's python3-websockets. It
prints every message of the channels, one a line, and publishes N messages to
/kill/python, each in fragments with a ping between them; it comes back after every lost
connection, with its session, its positions and what is unanswered.

peer.py codes URL: prints the codes with which connections end: one that sent bytes, one
that sent too much, and one that closed with 4000.

peer.py deflate URL: prints what extensions were agreed on, once a large message that it
published has come back as it was; the library compresses all that it sends.
"""
import asyncio
import json
import sys

import websockets


class Client:
    def __init__(self, url, count, channels):
        self.url, self.count = url, count
        self.last = {c: 0 for c in channels}
        self.epoch = self.session = self.secret = None
        self.stored = 0  # publishes are sent one behind the other

    async def run(self):
        while True:
            try:
                async with websockets.connect(self.url, subprotocols=["orbit.v1"], max_size=None) as ws:
                    await self.live(ws)
            except (OSError, websockets.WebSocketException, asyncio.TimeoutError):
                await asyncio.sleep(0.05)

    async def live(self, ws):
        hello = {"id": 1, "op": "connect", "last": self.last}
        if self.session:
            hello.update(session=self.session, secret=self.secret)
        if self.epoch:
            hello["epoch"] = self.epoch
        await ws.send(json.dumps(hello))
        epoch, unacked = None, 0
        async for text in ws:
            for line in text.split("\n"):
                o = json.loads(line)
                if "session" in o:
                    self.session, self.secret, epoch = o["session"], o["secret"], o["epoch"]
                    await self.publish(ws)
                elif o.get("op") == "ping":
                    await ws.send('{"op":"pong"}')
                elif o.get("re", 0) > 1:
                    if "error" in o:
                        sys.exit(f"publishing: {line}")
                    self.stored += 1
                    await self.publish(ws)
                elif "o" in o or "gap" in o:
                    print(line, flush=True)
                    self.last[o["ch"]] = o["o"] if "o" in o else o["gap"]["to"]
                    self.epoch = epoch
                    unacked += 1
                    if unacked % 100 == 0:
                        await ws.send(json.dumps({"op": "ack", "last": self.last}))
                elif "at" in o:
                    self.last[o["ch"]], self.epoch = max(self.last[o["ch"]], o["at"]), epoch

    async def publish(self, ws):
        n = self.stored + 1
        if n > self.count:
            return
        text = json.dumps({"id": n + 1, "op": "publish", "channel": "/kill/python", "data": n, "key": f"python-{n}"})

        async def fragments():
            for i in range(0, len(text), 20):
                yield text[i:i + 20]
                await ws.ping()

        await ws.send(fragments())


async def code(url, end):
    async with websockets.connect(url, subprotocols=["orbit.v1"]) as ws:
        await ws.send('{"id":1,"op":"connect"}')
        await ws.recv()
        await end(ws)
        await ws.wait_closed()
        return ws.close_code


async def codes(url):
    for end in (
        lambda ws: ws.send(b"bytes"),
        lambda ws: ws.send("x" * 100_000),
        lambda ws: ws.close(4000),
    ):
        print(await code(url, end), flush=True)


async def deflate(url):
    text = "all work and no play " * 200
    async with websockets.connect(url, subprotocols=["orbit.v1"]) as ws:
        await ws.send('{"id":1,"op":"connect","last":{"/kill/python":0}}')
        await ws.send(json.dumps({"id": 2, "op": "publish", "channel": "/kill/python", "data": text}))
        async for lines in ws:
            if any(json.loads(line).get("d") == text for line in lines.split("\n")):
                print(*[extension.name for extension in ws.extensions])
                return


if sys.argv[1] == "codes":
    asyncio.run(codes(sys.argv[2]))
elif sys.argv[1] == "deflate":
    asyncio.run(deflate(sys.argv[2]))
else:
    asyncio.run(Client(sys.argv[2], int(sys.argv[3]), sys.argv[4:]).run())
