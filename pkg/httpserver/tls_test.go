package httpserver_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/httpserver"
)

// TestOverTLS has tests of connections run with TLS; see newRig.
func TestOverTLS(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"BytesBehindAnUpgrade": TestBytesBehindAnUpgrade,
		"NoUpgrade":            TestNoUpgrade,
		"Declined":             TestDeclined,
		"DoubtfulHandshakes":   TestDoubtfulHandshakes,
		"ShutdownInTime":       TestShutdownInTime,
		"NothingIsUpgraded":    TestNothingIsUpgradedWhileStopping,
		"OversizedHead":        TestOversizedHead,
		"Smuggling":            TestSmuggling,
		"RefusalWaits":         TestRefusalWaitsForItsTurn,
		"RefusalArrives":       TestRefusalArrives,
		"LastRequest":          TestLastRequest,
		"PlainRequests":        TestPlainRequests,
	} {
		t.Run(name, test)
	}
}

func newTLSRig(t testing.TB) *rig { return makeRig(t, true) }

// overTLS reports whether a test is one of those that run with TLS.
func overTLS(t testing.TB) bool { return strings.HasPrefix(t.Name(), "TestOverTLS/") }

// A browser is a client of net/http, by HTTP/2 or not.
func (r *rig) browser(second bool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!second)
	protocols.SetHTTP2(second)
	transport := &http.Transport{TLSClientConfig: r.client.Clone(), Protocols: protocols}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}

func (r *rig) url(path string) string { return "https://" + r.listener.Addr().String() + path }

// fetch returns an answer's body.
func fetch(t testing.TB, answer *http.Response, err error) string {
	t.Helper()
	must(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(t, err)
	return string(text)
}

func TestTLSProtocols(t *testing.T) {
	r := newTLSRig(t)
	for proto, second := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		c := r.browser(second)
		for range 2 { // on one connection
			answer, err := c.Get(r.url("/tls"))
			if got := fetch(t, answer, err); !strings.HasPrefix(got, proto+" true 127.0.0.1:") {
				t.Errorf("%s: %s", proto, got)
			}
		}
		body := bytes.Repeat([]byte("large "), 1<<18)
		answer, err := c.Post(r.url("/echo"), "text/plain", bytes.NewReader(body))
		if got := fetch(t, answer, err); got != string(body) {
			t.Errorf("%s: %d of %d bytes came back", proto, len(got), len(body))
		}
		if got, err := c.Get(r.url("/panic")); err == nil {
			t.Errorf("%s: an aborted answer has status %d", proto, got.StatusCode)
		}
	}
	if s := r.reactor.Stats(); s.Panics != 0 || s.HandshakesFailed != 0 {
		t.Errorf("%+v", s)
	}
}

// TestTLSShutdown: requests in flight are answered on both protocols, and what
// has none ends, in whatever state its connection is.
func TestTLSShutdown(t *testing.T) {
	r := newTLSRig(t)
	idle, parked, begun, silent := r.dial(), r.dial(), r.dial(), r.dial()
	parked.send(handshake)
	parked.wantText(switched)
	idle.send(get("/hello"))
	idle.want(200, "hello")
	begun.send("GET /hel")
	quiet := tls.Client(dial(t, r.listener.Addr().String()).conn, second(r.client))
	must(t, quiet.Handshake()) // HTTP/2 without a request
	answers := make(chan string, 2)
	for _, c := range []*http.Client{r.browser(false), r.browser(true)} {
		go func() {
			answer, err := c.Get(r.url("/wait"))
			if err != nil {
				answers <- err.Error()
				return
			}
			answers <- fetch(t, answer, err)
		}()
		<-r.waiting
	}
	r.open(3) // begun, silent and parked
	stopped := make(chan error, 1)
	go func() { stopped <- r.shutdown() }()
	begun.want(503, "the server is stopping")
	begun.wantEnd()
	silent.wantEnd() // its handshake is made only now
	idle.wantEnd()
	close(r.wait)
	for range 2 {
		if got := <-answers; got != "waited" {
			t.Error(got)
		}
	}
	_, _ = io.Copy(io.Discard, quiet)
	must(t, <-stopped)
	parked.send("still there")
	parked.wantText("still there")
}

// TestTLSStalled: a peer that asks by HTTP/2 and then reads nothing does not hold
// its handler for ever.
func TestTLSStalled(t *testing.T) {
	t.Parallel()
	r := makeRig(t, true, func(o *httpserver.Options) { o.SetStall(100 * time.Millisecond) })
	p := tls.Client(dial(t, r.listener.Addr().String()).conn, second(r.client))
	// RFC 9113: the preface; SETTINGS and a WINDOW_UPDATE that leave all flow control
	// to the socket; GET /flood as HEADERS that end the stream, of indexed fields
	// (RFC 7541, appendix A) and one literal.
	_, err := io.WriteString(p, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+
		"\x00\x00\x06\x04\x00\x00\x00\x00\x00"+"\x00\x04\x7f\xff\xff\xff"+
		"\x00\x00\x04\x08\x00\x00\x00\x00\x00"+"\x7f\xff\x00\x00"+
		"\x00\x00\x0d\x01\x05\x00\x00\x00\x01"+"\x82\x87\x04\x06/flood\x41\x01x")
	must(t, err)
	select {
	case err := <-r.flooded:
		t.Log(err)
	case <-time.After(patience):
		t.Error("the handler still writes")
	}
}

func second(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = []string{"h2"}
	return c
}

// TestTLSCutOff: a peer that is gone, at any byte of its request, leaves nothing
// behind.
func TestTLSCutOff(t *testing.T) {
	r := newTLSRig(t)
	for n := range 60 {
		p := dial(t, r.listener.Addr().String())
		nc := tls.Client(&cut{p.conn, 40 * n}, r.client)
		_, _ = io.WriteString(nc, post("/echo", "hello"))
		_ = p.conn.Close()
	}
	p := r.dial()
	p.send(get("/hello"))
	p.want(200, "hello")
	must(t, p.conn.Close())
	r.open(0)
}

// A cut is a connection that closes after so many bytes were written.
type cut struct {
	net.Conn
	left int
}

func (c *cut) Write(p []byte) (int, error) {
	n := min(len(p), c.left)
	c.left -= n
	if n, err := c.Conn.Write(p[:n]); n == len(p) {
		return n, err
	}
	_ = c.Conn.Close()
	return n, io.ErrClosedPipe
}
