# client.py VERSION HOST PORT: what an application does with python3-stomp.
import queue, sys, stomp

version, host, port = sys.argv[1:]
got = queue.Queue()


class Listener(stomp.ConnectionListener):
    def on_message(self, frame):
        got.put(('message', frame))

    def on_receipt(self, frame):
        got.put(('receipt', frame))

    def on_error(self, frame):
        got.put(('error', frame))


def hear(kind):
    aside = []
    while True:
        heard, frame = got.get(timeout=20)
        if heard == kind:
            for one in aside:
                got.put(one)
            return frame
        if heard == 'error':
            sys.exit('ERROR %r' % frame.headers)
        aside.append((heard, frame))


make = {'1.0': stomp.Connection10, '1.1': stomp.Connection11, '1.2': stomp.Connection12}[version]
options = {} if version == '1.0' else {'heartbeats': (4000, 4000)}
connection = make([(host, int(port))], auto_decode=False, **options)
connection.set_listener('', Listener())
connection.connect('alice', 'demo', wait=True)
name = '/team/python' + version
mode = 'client' if version == '1.0' else 'client-individual'
connection.subscribe(name, id='1', ack=mode, headers={'receipt': 'subscribed'})
assert hear('receipt').headers['receipt-id'] == 'subscribed'

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
        connection.ack(frame.headers['message-id'], '1')
    else:
        connection.ack(frame.headers['ack'])


ack(frame)
transaction = connection.begin()
for text in '1', '2':
    connection.send(name, text, 'text/plain', {'transaction': transaction})
connection.commit(transaction)
for text in b'1', b'2':
    frame = hear('message')
    body = frame.body if isinstance(frame.body, bytes) else frame.body.encode()
    assert body == text, body
    ack(frame)
if version == '1.0':
    connection.unsubscribe(destination=name, id='1')
else:
    connection.unsubscribe('1')
connection.disconnect(receipt='bye')
print('done')
