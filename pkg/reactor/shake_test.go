package reactor_test

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// TestPlainOnTLS: who forgets the s in https is told.
func TestPlainOnTLS(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler { t.Error("accepted"); return nil })
	nc := dial(t, addr)
	send(t, nc, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got, err := io.ReadAll(nc); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 400 ") || !strings.Contains(string(got), "https://") {
		t.Errorf("%q and %v", got, err)
	}
}

func TestTLSHandshakesThatFail(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler { t.Error("accepted"); return nil })
	for name, bad := range map[string][]byte{
		"nothing":        {},
		"no record":      {0, 1, 2, 3, 4, 5},
		"no handshake":   {22, 3, 1, 0, 4, 99, 0, 0, 0},
		"an empty one":   {22, 3, 1, 0, 0},
		"a large record": {22, 3, 1, 0xff, 0xff},
		"a large hello":  {22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff},
		"half a hello":   {22, 3, 1, 0, 99, 1, 0, 0, 95, 3, 3},
	} {
		nc := dial(t, addr)
		_, _ = nc.Write(bad)
		_ = nc.CloseWrite()
		if _, err := io.ReadAll(nc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	old := clientOf(tls.VersionTLS11)
	if err := tls.Client(dial(t, addr), old).Handshake(); err == nil || !strings.Contains(err.Error(), "remote error") {
		t.Errorf("TLS 1.1: %v", err)
	}
	for r.Len() > 0 {
		time.Sleep(time.Millisecond)
	}
	if s := r.Stats(); s.Handshakes != 0 || s.HandshakesFailed != 8 || s.Panics != 0 {
		t.Errorf("%+v", s)
	}
}

// TestTLSHandshakeTimeout: who falls silent at any point is ended in time.
func TestTLSHandshakeTimeout(t *testing.T) {
	clk := newClock()
	r := start(t, reactor.Options{Loops: 1, Now: clk.now, Tick: time.Millisecond, HandshakeTimeout: 10 * time.Second})
	addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler { return &handler{data: echo} })
	done := secure(t, dial(t, addr), newPair().client)
	silent := dial(t, addr)
	half := dial(t, addr)
	send(t, half, "\x16\x03\x01")
	stuck := dial(t, addr)
	go func() { _ = tls.Client(mutedAfter(stuck, 1), newPair().client).Handshake() }()
	for r.Len() < 4 {
		time.Sleep(time.Millisecond)
	}
	clk.add(9 * time.Second)
	on(t, r.Loops()[0], func() {})
	if n := r.Len(); n != 4 {
		t.Errorf("%d left before the time", n)
	}
	clk.add(time.Second)
	for r.Len() > 1 {
		time.Sleep(time.Millisecond)
	}
	expectEnd(t, silent)
	send(t, done, "x")
	expect(t, done, "x")
}

// TestTLSHandshakesWaitTheirTurn: peers that fall silent in the middle hold all
// places there are, and lose them to who comes after. Some still do when the
// reactor is closed.
func TestTLSHandshakesWaitTheirTurn(t *testing.T) {
	const places = 4
	clk := newClock()
	r := start(t, reactor.Options{Loops: 1, Now: clk.now, Tick: time.Millisecond, MaxHandshakes: places})
	addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler { return &handler{data: echo} })
	stall := func() net.Conn {
		nc := dial(t, addr)
		tc := tls.Client(mutedAfter(nc, 1), newPair().client)
		// Its own side of the handshake ends well, and the server waits for the rest.
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		return nc
	}
	var silent []net.Conn
	for range places {
		silent = append(silent, stall())
	}
	waits := make([]chan error, 2*places)
	for i := range waits {
		waits[i] = make(chan error, 1)
		nc := dial(t, addr)
		go func() { waits[i] <- tls.Client(nc, newPair().client).Handshake() }()
	}
	for r.Len() < places+len(waits) {
		time.Sleep(time.Millisecond)
	}
	if n := r.Stats().Handshakes; n != 0 {
		t.Errorf("%d handshakes were made without a place", n)
	}
	clk.add(2 * time.Second)
	for _, w := range waits {
		if err := get(t, w); err != nil {
			t.Error(err)
		}
	}
	for _, nc := range silent {
		if _, err := io.Copy(io.Discard, nc); err != nil {
			t.Error(err)
		}
	}
	stall()
}

// TestTLSResumes: who comes again with a ticket makes a short handshake.
func TestTLSResumes(t *testing.T) {
	for name, version := range versions {
		r := start(t, reactor.Options{Loops: 2})
		addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler { return &handler{data: echo} })
		c := clientOf(version)
		c.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i := range 3 {
			nc := secure(t, dial(t, addr), c)
			send(t, nc, "x")
			expect(t, nc, "x")
			if resumed := nc.ConnectionState().DidResume; resumed != (i > 0) {
				t.Errorf("TLS %s, connection %d: resumed %t", name, i, resumed)
			}
			nc.Close()
		}
	}
}

func TestTLSInputIsBounded(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1, MaxInput: 32 << 10})
	ended := make(chan error, 1)
	addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler {
		return &handler{
			data:   func(*reactor.Conn, []byte) int { return 0 },
			closed: func(_ *reactor.Conn, err error) { ended <- err },
		}
	})
	nc := secure(t, dial(t, addr), newPair().client)
	go func() { _, _ = nc.Write(make([]byte, 1<<20)) }()
	if err := get(t, ended); err != reactor.ErrTooLarge {
		t.Error(err)
	}
}

// mutedAfter swallows all writes after the first n.
func mutedAfter(nc net.Conn, n int) net.Conn { return &muted{nc, n} }

type muted struct {
	net.Conn
	left int
}

func (m *muted) Write(p []byte) (int, error) {
	if m.left--; m.left < 0 {
		return len(p), nil
	}
	return m.Conn.Write(p)
}
