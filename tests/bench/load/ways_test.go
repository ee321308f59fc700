package load

import (
	"bytes"
	"compress/flate"
	"net/netip"
	"strings"
	"testing"
)

// frame returns a server's frame: text, or compressed.
func frame(first byte, payload string) string {
	return string([]byte{first, 126, byte(len(payload) >> 8), byte(len(payload))}) + payload
}

func deflated(text string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	_, _ = w.Write([]byte(text))
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

// TestWays: a message is counted on every way, from whatever it comes in, once it is
// all there, and what was left out is missing.
func TestWays(t *testing.T) {
	joined := `{"re":1,"offset":1240,"epoch":"9f86d081884c7d65"}` + "\n"
	message := func(n uint64) string {
		return `{"ch":"/a","o":7,"p":6,"t":1790000000123,"d":"` + string(appendPayload(nil, n, 200)) + `"}` + "\n"
	}
	stomp := func(n uint64) string {
		return "\nMESSAGE\nsubscription:0\nack:0-7\ndestination:/a\nmessage-id:9f86d081884c7d65-7\n\n\"" + string(appendPayload(nil, n, 200)) + "\"\x00"
	}
	const connected, subscribed = "CONNECTED\nversion:1.2\n\n\x00", "RECEIPT\nreceipt-id:joined\n\n\x00"
	event := func(text string) string { return "data: " + text + "id: 9f86d081884c7d65-7\n\n" }
	for _, test := range []struct {
		way   Way
		first string
		bytes func(n uint64) string
	}{
		{WebSocket, "HTTP/1.1 101 \r\n\r\n" + frame(0x81, joined), func(n uint64) string { return frame(0x81, message(n)) }},
		{Deflate, "HTTP/1.1 101 \r\n\r\n" + frame(0x81, joined), func(n uint64) string { return frame(0xc1, deflated(message(n))) }},
		{Stream, "HTTP/1.1 200 \r\n\r\n" + joined, message},
		{SSE, "HTTP/1.1 200 \r\n\r\nretry: 1\n\nevent: reply\n" + event(joined), func(n uint64) string { return event(message(n)) }},
		{EventSource, "HTTP/1.1 200 \r\n\r\nevent: open\ndata: " + `{"session":"s","secret":"s","subs":{}}` + "\n\n", func(n uint64) string { return event(message(n)) }},
		{StompTCP, connected + subscribed, stomp},
		{StompSocket, "HTTP/1.1 101 \r\n\r\n" + frame(0x81, connected) + frame(0x81, subscribed), func(n uint64) string { return frame(0x81, stomp(n)) }},
	} {
		f := NewFleet(nil, test.way.Dialect(), netip.AddrPort{})
		c := &Client{fleet: f, next: 1, name: "/a", open: test.way.isRaw()}
		if used := c.Data(nil, []byte(test.first)); used != len(test.first) || !c.joined || f.Err() != nil {
			t.Errorf("%s: of the beginning %d bytes were used, joined: %v, %v", test.way, used, c.joined, f.Err())
		}
		for _, n := range []uint64{1, 2, 4} {
			b := []byte(test.bytes(n))
			c.Data(nil, b[:50])
			if c.next > n {
				t.Errorf("%s: message %d was counted before it was there", test.way, n)
			}
			c.Data(nil, b)
		}
		if f.Received != 3 || f.Lost != 1 || f.Repeated+f.Swapped != 0 {
			t.Errorf("%s: received %d, lost/repeated/reordered %s", test.way, f.Received, f.Verdict())
		}
	}
}

// TestNextAnswer: an answer ends where its head says.
func TestNextAnswer(t *testing.T) {
	for _, test := range []struct{ text, status, body string }{
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "200", "abc"},
		{"HTTP/1.1 204 No Content\r\n\r\n", "204", ""},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n", "200", "1\r\na\r\n0\r\n\r\n"},
	} {
		for i := range test.text {
			if _, _, n := nextAnswer([]byte(test.text[:i])); n > 0 {
				t.Errorf("%d bytes of %q are an answer", i, test.text)
			}
		}
		status, body, n := nextAnswer([]byte(test.text + "HTTP"))
		if status != test.status || string(body) != test.body || n != len(test.text) {
			t.Errorf("%q: %s, %q, %d bytes", test.text, status, body, n)
		}
	}
}
