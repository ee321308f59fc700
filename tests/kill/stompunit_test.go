package kill

import (
	"context"
	"fmt"
	"testing"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
	"github.com/orbitd/orbitd/tests/scene"
)

// A daemon that is killed as soon as it has said that something is stored has all of it
// stored: with what a transaction sends its ACK, with a dead message its end in the
// subscription or group. Else nothing would have carried these to the disk yet.
func TestKilledBehindTheAnswer(t *testing.T) {
	t.Run("durable", func(t *testing.T) { killedBehindTheAnswer(t, false) })
	t.Run("group", func(t *testing.T) { killedBehindTheAnswer(t, true) })
}

func killedBehindTheAnswer(t *testing.T, group bool) {
	address := scene.FreeAddress(t)
	d := scene.NewDaemon(t, fmt.Sprintf("stomp = %q\n[[channel]]\nmatch = %q\nsubscribe = [\"*\"]", address, dead))
	d.Start()
	d.Ready(t.Context())
	c := &stompConsumer{address: address, mode: "client-individual", group: group, processed: newProcessed("it")}
	for _, end := range []func(conn *stompClient, f *frame.Frame){
		func(conn *stompClient, f *frame.Frame) {
			must(t, conn.say("BEGIN\ntransaction:t\n\n\x00SEND\ndestination:%s\ntransaction:t\n\n1\x00ACK\nid:%s\ntransaction:t\n\n\x00COMMIT\ntransaction:t\nreceipt:c\n\n\x00", out, f.Text("ack")))
			if f, err := conn.next(); err != nil || f.Text("receipt-id") != "c" {
				t.Fatalf("%v, %v", f, err)
			}
		},
		func(conn *stompClient, f *frame.Frame) {
			for n := range 10 {
				must(t, conn.say("NACK\nid:%s\n\n\x00", f.Text("ack")))
				if n < 9 {
					f = nextMessage(t, conn)
				}
			}
			await(t, "dead message", func() bool { return len(stored(t, d, dead)) == 1 })
		},
	} {
		conn, err := c.subscribe(t.Context())
		must(t, err)
		send(t, address, 1)
		end(conn, nextMessage(t, conn))
		d.Kill()
		d.Start()
		d.Ready(t.Context())
		conn, err = c.subscribe(t.Context())
		must(t, err)
		send(t, address, 2)
		f := nextMessage(t, conn)
		if string(f.Body) != "2" {
			t.Errorf("%q %s came again", f.Headers, f.Body)
		}
		must(t, conn.say("ACK\nid:%s\nreceipt:a\n\n\x00DISCONNECT\n\n\x00", f.Text("ack")))
		for err == nil {
			_, err = conn.next()
		}
	}
	onceEach(t, "sent on", stored(t, d, out), 1)
	onceEach(t, "dead", stored(t, d, dead), 1)
	d.Stop()
}

func nextMessage(t *testing.T, c *stompClient) *frame.Frame {
	t.Helper()
	f, err := c.next()
	if err != nil || f.Command != frame.Message {
		t.Fatalf("%v, %v, not a message", f, err)
	}
	return f
}

// send publishes a message, and waits for its receipt.
func send(t *testing.T, address string, n int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c, err := dialSTOMP(ctx, address)
	must(t, err)
	must(t, c.say("SEND\ndestination:%s\nreceipt:r\n\n%d\x00", queue, n))
	if f, err := c.next(); err != nil || f.Command != frame.Receipt {
		t.Fatalf("%v, %v", f, err)
	}
}
