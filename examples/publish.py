# Publishes one message by STOMP and waits until it is on disk. Debian: python3-stomp
import sys, stomp

host, port = sys.argv[1:] or ('localhost', 61613)
waiter = stomp.listener.WaitingListener('on-disk')
connection = stomp.Connection12([(host, int(port))])
connection.set_listener('receipts', waiter)
connection.connect(wait=True)
connection.send('/chat/lobby', '{"text": "hi from Python"}', 'application/json', {'receipt': 'on-disk'})
waiter.wait_on_receipt()
connection.disconnect()
