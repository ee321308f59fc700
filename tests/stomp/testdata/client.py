# client.py VERSION HOST PORT: what an application does with python3-stomp.
import queue, sys, stomp

version, host, port = sys.argv[1:]
got = queue.Queue()
aside = []  # what came before what was waited for


class Listener(stomp.ConnectionListener):
    def on_message(self, frame):
        got.put(('message', frame))

    def on_receipt(self, frame):
        got.put(('receipt', frame))

    def on_error(self, frame):
        if 'restarts' not in frame.headers['message']:
            got.put(('error', frame))


def hear(kind):
    for i, (heard, frame) in enumerate(aside):
        if heard == kind:
            del aside[i]
            return frame
    while True:
        heard, frame = got.get(timeout=20)
        if heard == kind:
            return frame
        if heard == 'error':
            sys.exit('ERROR %r' % frame.headers)
        aside.append((heard, frame))


make = {'1.0': stomp.Connection10, '1.1': stomp.Connection11, '1.2': stomp.Connection12}[version]
options = {} if version == '1.0' else {'heartbeats': (4000, 4000)}


def connect():
    connection = make([(host, int(port))], auto_decode=False, **options)
    connection.set_listener('', Listener())
    connection.connect('alice', 'demo', wait=True, headers={'client-id': version})
    return connection


def subscribe(to, id, headers={}):
    connection.subscribe(to, id=id, ack=mode, headers=dict(headers, receipt='subscribed'))
    assert hear('receipt').headers['receipt-id'] == 'subscribed'


def send(to, text):
    connection.send(to, text, 'text/plain', {'receipt': text})
    assert hear('receipt').headers['receipt-id'] == text


def take(body, redelivered=False):
    frame = hear('message')
    came = frame.body if isinstance(frame.body, bytes) else frame.body.encode()
    assert came == body and ('redelivered' in frame.headers) == redelivered, (came, frame.headers)
    return frame


connection = connect()
name = '/team/python' + version
mode = 'client' if version == '1.0' else 'client-individual'
subscribe(name, '1')

large = bytes(range(256)) * 4096
connection.send(name, large, 'application/octet-stream', {'receipt': 'large', 'colour': 'blue'})
frame = hear('message')
assert frame.body == large, len(frame.body)
assert frame.headers['colour'] == 'blue' and frame.headers['user'] == 'alice', frame.headers
assert hear('receipt').headers['receipt-id'] == 'large'


def ack(frame):
    if version == '1.0':
        connection.ack(frame.headers['message-id'])
    elif version == '1.1':
        connection.ack(frame.headers['message-id'], frame.headers['subscription'])
    else:
        connection.ack(frame.headers['ack'])


ack(frame)
transaction = connection.begin()
for text in '1', '2':
    connection.send(name, text, 'text/plain', {'transaction': transaction})
connection.commit(transaction)
for text in b'1', b'2':
    ack(take(text))
if version == '1.0':
    connection.unsubscribe(destination=name, id='1')
else:
    connection.unsubscribe('1')

kept = name + '/kept'
subscribe(kept, 'kept', {'durable': 'true'})
for text in 'acked', 'open':
    send(kept, text)
ack(take(b'acked'))
take(b'open')
send('/open/x', 'the ACK was received')
print('restart', flush=True)
sys.stdin.readline()
connection = connect()
send(kept, 'missed')
subscribe(kept, 'kept', {'durable': 'true'})
ack(take(b'open', redelivered=True))
ack(take(b'missed'))
connection.disconnect(receipt='bye')
print('done')
