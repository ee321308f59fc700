package httpserver_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// doubtful are requests that could be read in two ways, or are none at all. What
// follows each would be a request of its own in one of the readings.
var doubtful = map[string]string{
	"length and encoding":           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"encoding and length":           "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
	"encoding and no length":        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
	"two lengths":                   "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 4\r\n\r\nbody",
	"the same length twice":         "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nbody",
	"a list of lengths":             "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4, 4\r\n\r\nbody",
	"length with a sign":            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nbody",
	"negative length":               "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\nbody",
	"hexadecimal length":            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 0x4\r\n\r\nbody",
	"length with underscore":        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1_0\r\n\r\nbody",
	"length beyond 63 bit":          "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 18446744073709551620\r\n\r\nbody",
	"empty length":                  "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\nbody",
	"two encodings":                 "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"chunked, then identity":        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
	"chunks in HTTP/1.0":            "POST /echo HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"space before the colon":        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length : 4\r\n\r\nbody",
	"tab before the colon":          "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
	"control character in a name":   "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length\x0b: 4\r\n\r\nbody",
	"continued header":              "POST /echo HTTP/1.1\r\nHost: x\r\nA: b\r\n Content-Length: 4\r\n\r\nbody",
	"continued length":              "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n 4\r\n\r\nbody",
	"first header continued":        "POST /echo HTTP/1.1\r\n Host: x\r\nContent-Length: 4\r\n\r\nbody",
	"a line of spaces":              "POST /echo HTTP/1.1\r\nHost: x\r\n  \r\n\r\n",
	"line ends of LF":               "POST /echo HTTP/1.1\nHost: x\nContent-Length: 4\n\nbody",
	"one line end of LF":            "POST /echo HTTP/1.1\r\nHost: x\r\nA: b\nContent-Length: 4\r\n\r\nbody",
	"head ends in LF":               "POST /echo HTTP/1.1\r\nHost: x\r\n\n",
	"CR within":                     "POST /echo HTTP/1.1\r\nHost: x\r\nA: b\rContent-Length: 4\r\n\r\n",
	"CR CR LF":                      "POST /echo HTTP/1.1\r\nHost: x\r\nA: b\r\r\n\r\n",
	"NUL in a value":                "POST /echo HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n",
	"NUL in a name":                 "POST /echo HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n",
	"NUL in the target":             "POST /e\x00cho HTTP/1.1\r\nHost: x\r\n\r\n",
	"no colon":                      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length 4\r\n\r\nbody",
	"no name":                       "POST /echo HTTP/1.1\r\nHost: x\r\n: 4\r\n\r\n",
	"two hosts":                     "POST /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
	"no version":                    "GET /hello\r\n\r\n",
	"another version":               "GET /hello HTTP/1.2\r\nHost: x\r\n\r\n",
	"HTTP/2 that was not asked for": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"two spaces":                    "GET  /hello HTTP/1.1\r\nHost: x\r\n\r\n",
	"tab for space":                 "GET\t/hello HTTP/1.1\r\nHost: x\r\n\r\n",
}

// A doubtful request is answered 400 and its connection closed, whether it is the
// first or a later one, and however it is cut; nothing of it, and nothing behind
// it, is served.
func TestSmuggling(t *testing.T) {
	r := newRig(t)
	for name, request := range doubtful {
		t.Run(name, func(t *testing.T) {
			for way, send := range map[string]func(*peer, string){
				"at once":      (*peer).sendAll,
				"byte by byte": (*peer).drip,
			} {
				p := r.dial()
				p.t = t
				send(p, request+get("/smuggled"))
				if got := p.statuses(); !slices.Equal(got, []int{400}) {
					t.Errorf("first, %s: answers %v", way, got)
				}

				p = r.dial()
				p.t = t
				p.send(post("/echo", "first"))
				p.want(200, "first")
				send(p, request+get("/smuggled"))
				if got := p.statuses(); !slices.Equal(got, []int{400}) {
					t.Errorf("behind an answer, %s: answers %v", way, got)
				}

				p = r.dial()
				p.t = t
				send(p, post("/echo", "first")+request+get("/smuggled"))
				if got := p.statuses(); !slices.Equal(got, []int{200, 400}) {
					t.Errorf("behind another request, %s: answers %v", way, got)
				}
				if got := r.served(); got != "POST /echo, POST /echo" {
					t.Errorf("%s: served %s", way, got)
				}
			}
		})
	}
}

func (p *peer) sendAll(s string) { p.send(s) }

// A request that is refused does not end those before it.
func TestRefusalWaitsForItsTurn(t *testing.T) {
	r := newRig(t)
	for name, send := range map[string]func(*peer, string){"at once": (*peer).sendAll, "byte by byte": (*peer).drip} {
		p := r.dial()
		send(p, get("/wait")+doubtful["length and encoding"])
		<-r.waiting
		send(p, "more that nobody wants")
		r.wait <- struct{}{}
		p.want(200, "waited")
		if got := p.statuses(); !slices.Equal(got, []int{400}) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// An answer arrives whole also where the client goes on sending.
func TestRefusalArrives(t *testing.T) {
	r := newRig(t)
	for _, before := range []string{"", get("/hello")} {
		p := r.dial()
		p.send(before + doubtful["two lengths"])
		for range 64 {
			if _, err := p.conn.Write(make([]byte, 16<<10)); err != nil {
				break
			}
		}
		if before != "" {
			p.want(200, "hello")
		}
		p.want(400, "")
	}
}

// What net/http refuses for its own reasons is answered, too.
func TestRefusedByNetHTTP(t *testing.T) {
	r := newRig(t)
	for request, status := range map[string]int{
		"GET /hello HTTP/1.1\r\n\r\n":                                                 400, // no Host
		"GET hello HTTP/1.1\r\nHost: x\r\n\r\n":                                       400,
		"GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n":                                    400,
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n":  501,
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n":       501,
		"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: x\r\nContent-Length: 1\r\n\r\na":   417,
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\n0": 400, // bare LF in chunks
	} {
		p := r.dial()
		p.send(get("/hello") + request + "\r\n\r\n" + get("/smuggled"))
		if got := p.statuses(); !slices.Equal(got, []int{200, status}) {
			t.Errorf("%q: answers %v", request, got)
		}
		if got := r.served(); strings.Contains(got, "smuggled") {
			t.Errorf("%q: served %s", request, got)
		}
	}
}

// A request whose end is not plain from its head is answered, and is its
// connection's last, whatever serves it.
func TestLastRequest(t *testing.T) {
	r := newRig(t)
	const chunks = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
	for request, status := range map[string]int{
		"POST /echo HTTP/1.1\r\nHost: x\r\n" + chunks:                                              200,
		"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n" + chunks:                    200,
		"GET /hello HTTP/1.1\r\nHost: x\r\n" + chunks:                                              200,
		"GET /none HTTP/1.1\r\nHost: x\r\n" + chunks:                                               404,
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n" + chunks:                                               400,
		"GET /hello HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n":            200,
		"POST /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nbody":    200,
		"GET /keep HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n":             0, // it breaks the rule
		"GET /panic HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket, foo\r\n\r\n": 0,
	} {
		want := []int{200}
		if status != 0 {
			want = append(want, status)
		}
		p := r.dial()
		p.send(get("/hello") + request + get("/smuggled"))
		if got := p.statuses(); len(got) != len(want) || got[len(got)-1] != want[len(want)-1] {
			t.Errorf("%q: answers %v, want %v", request, got, want)
		}
		if got := r.served(); strings.Contains(got, "smuggled") {
			t.Errorf("%q: served %s", request, got)
		}
	}
}

// Requests that are plain follow each other on one connection, at whatever byte
// they are cut.
func TestPlainRequests(t *testing.T) {
	r := newRig(t)
	text := get("/hello") + post("/echo", "one\r\n\r\nPOST ") + post("/echo", "") + "\r\n" +
		"GET http://other/hello HTTP/1.1\r\nHost: x\r\n\r\n" + "PUT /echo HTTP/1.1\r\nhost:x\r\ncontent-length:\t007 \r\n\r\n\n\n\r\n\r\n." +
		"HEAD /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	for cut := 1; cut < len(text); cut++ {
		p := r.dial()
		p.send(text[:cut])
		p.send(text[cut:])
		for _, body := range []string{"hello", "one\r\n\r\nPOST ", "", "hello", "\n\n\r\n\r\n."} {
			p.want(200, body)
		}
		head, err := io.ReadAll(p.in)
		if err != nil || !strings.HasPrefix(string(head), "HTTP/1.1 200 OK\r\n") {
			t.Fatalf("cut at %d: %q %v", cut, head, err)
		}
		if got, want := r.served(), "GET /hello, POST /echo, POST /echo, GET /hello, PUT /echo, HEAD /hello"; got != want {
			t.Fatalf("cut at %d: served %s", cut, got)
		}
	}
}

func TestExpectedBody(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	for i := range 3 {
		body := fmt.Sprint("body ", i)
		p.send(fmt.Sprintf("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body)))
		p.wantText("HTTP/1.1 100 Continue\r\n\r\n")
		p.send(body)
		p.want(200, body)
	}
}

func TestHTTP10(t *testing.T) {
	r := newRig(t)
	p := r.dial()
	p.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	p.want(200, "hello")
	p.send("GET /hello HTTP/1.0\r\n\r\n")
	p.want(200, "hello")
	p.wantEnd()
}
