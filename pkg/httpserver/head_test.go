package httpserver

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

func TestHeadEnd(t *testing.T) {
	for text, want := range map[string]int{
		"":                         0,
		"\r\n\r\n\r\n":             0,
		"GET / HTTP/1.1\r\n":       0,
		"GET / HTTP/1.1\r\n\r":     0,
		"GET / HTTP/1.1\r\n\r\nab": 18,
		"GET / HTTP/1.1\n\nab":     16,
		"GET / HTTP/1.1\n\r\nab":   17,
		"GET / HTTP/1.1\r\n\nab":   17,
		"\r\n\n\r\na\r\n\r\n":      10,
		"a\n\r\r\nb\r\n":           0,
		"a\n\r\n\n\n":              4,
		"a\r\n\r\n\n\n":            5,
	} {
		if got := headEnd([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestIsUpgrade(t *testing.T) {
	const rest = "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	for text, want := range map[string]bool{
		"GET /up HTTP/1.1\r\n" + rest:                                            true,
		"GET /up?a HTTP/1.1\r\n" + rest:                                          true,
		"GET /upp HTTP/1.1\r\n" + rest:                                           false,
		"GET /up/ HTTP/1.1\r\n" + rest:                                           false,
		"HEAD /up HTTP/1.1\r\n" + rest:                                           false,
		"get /up HTTP/1.1\r\n" + rest:                                            false,
		"GET http://x/up HTTP/1.1\r\n" + rest:                                    false,
		"GET /up HTTP/1.1\r\n" + rest + "Upgrade: websocket\r\n":                 false,
		"GET /up HTTP/1.1\r\n" + rest + "Connection: keep-alive\r\n":             false,
		"GET /up HTTP/1.1\r\n" + rest + "Content-Length: 1\r\n":                  false,
		"GET /up HTTP/1.1\r\n" + rest + "Content-Length: 0\r\n":                  true,
		"GET /up HTTP/1.1\r\n" + rest + "Transfer-Encoding: chunked\r\n":         false,
		"GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n": false,
	} {
		h, err := parseHead([]byte(text + "\r\n"))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got := h.isUpgrade("/up"); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// heads follows b as a connection does that reads byte by byte, and returns what
// net/http would be given, and where in that the heads end that were accepted.
func heads(b []byte) (passed []byte, ends map[int]bool) {
	c := &conn{}
	ends = map[int]bool{}
	for i := 0; i < len(b) && !c.refused; i++ {
		before, last := len(c.head), c.last
		n := c.follow(b[i : i+1])
		passed = append(passed, b[i:i+n]...)
		if !last && before > 0 && len(c.head) == 0 && !c.refused {
			ends[len(passed)] = true
		}
	}
	return append(passed, c.unread...), ends
}

// FuzzFollow: whatever is sent, net/http parses no request but those that were
// accepted, and takes each to be as long as it was taken to be here.
func FuzzFollow(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.0\n\n", "\r\nGET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\na\r\n\r\nGET / HTTP/1.1\r\nUpgrade: x\r\n\r\nrest",
		"GET / HTTP/1.1\r\nContent-Length : 3\r\n\r\n", "GET / HTTP/1.1\r\nA: \x00\r\n\r\n", "GET / HTTP/1.1\r\n  \r\n\r\n",
		"A / HTTP/1.1\r\nTransfer-Encoding: chunked\n\r\n\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		passed, ends := heads(data)
		source := bytes.NewReader(passed)
		in := bufio.NewReader(source)
		for {
			// As net/http does behind a POST.
			for b, err := in.Peek(1); err == nil && (b[0] == '\r' || b[0] == '\n'); b, err = in.Peek(1) {
				_, _ = in.Discard(1)
			}
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			end := len(passed) - source.Len() - in.Buffered()
			if !ends[end] {
				t.Fatalf("%q is passed on, of which net/http takes a request that ends at %d; accepted were %v", passed, end, ends)
			}
			if len(r.TransferEncoding) > 0 || r.Header["Upgrade"] != nil {
				return // the connection's last
			}
			if n, err := io.Copy(io.Discard, r.Body); err != nil || n != r.ContentLength {
				return
			}
		}
	})
}
