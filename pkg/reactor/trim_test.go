package reactor

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"reflect"
	"testing"

	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

// TestTrim: this version of Go has the buffers that are given up, and a
// connection goes on without them, also in the middle of a record.
func TestTrim(t *testing.T) {
	for i, offset := range buffers {
		if offset == 0 {
			t.Fatalf("buffer %d is not where it was: see whether crypto/tls keeps one", i)
		}
	}
	server, client := tlsPipe(t)
	for range 3 {
		message := make([]byte, 10_000)
		go func() { _, _ = client.Write(message) }()
		for got := 0; got < len(message); {
			n, err := server.Read(message[:777])
			if err != nil {
				t.Fatal(err)
			}
			got += n
			trim(server)
		}
		for _, name := range []string{"rawInput", "hand"} {
			if size := sizeOf(server, name); size != 0 {
				t.Errorf("%s still has %d bytes", name, size)
			}
		}
	}
}

// echoing is a handler that tells when it has sent something back.
type echoing struct{ done chan *Conn }

func (e echoing) Data(c *Conn, b []byte) int {
	c.Write(bytes.Clone(b))
	select {
	case e.done <- c:
	default: // it has told
	}
	return len(b)
}
func (echoing) Writable(*Conn)      {}
func (echoing) Closed(*Conn, error) {}

// TestIdleHasNoBuffer looks at a connection that has received a large record.
func TestIdleHasNoBuffer(t *testing.T) {
	r, err := New(Options{Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.Background())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, e := tlstest.NewAuthority(), echoing{make(chan *Conn, 1)}
	own := &tls.Config{Certificates: []tls.Certificate{a.Certificate()}}
	if err := r.ListenTLS(l, own, func(*Conn) Handler { return e }); err != nil {
		t.Fatal(err)
	}
	nc, err := tls.Dial("tcp", l.Addr().String(), a.Client())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	message := make([]byte, 200_000)
	go func() { _, _ = nc.Write(message) }()
	if _, err := io.ReadFull(nc, message); err != nil {
		t.Fatal(err)
	}
	c, looked := <-e.done, make(chan struct{})
	r.Loops()[0].Post(func() {
		defer close(looked)
		if c.x != nil || c.tls.in != nil || c.tls.out != nil || sizeOf(c.tls.tls, "rawInput")+sizeOf(c.tls.tls, "hand") > 0 {
			t.Errorf("an idle connection has a buffer: %+v, %d and %d bytes", c.x, sizeOf(c.tls.tls, "rawInput"), sizeOf(c.tls.tls, "hand"))
		}
	})
	<-looked
}

// sizeOf returns the capacity of a buffer of t.
func sizeOf(t *tls.Conn, name string) uint64 {
	f := reflect.ValueOf(t).Elem().FieldByName(name).FieldByName("buf")
	return uint64(f.Cap())
}

func tlsPipe(t *testing.T) (server, client *tls.Conn) {
	t.Helper()
	authority := tlstest.NewAuthority()
	a, b := net.Pipe()
	server = tls.Server(a, &tls.Config{Certificates: []tls.Certificate{authority.Certificate()}})
	client = tls.Client(b, authority.Client())
	t.Cleanup(func() { a.Close(); b.Close() })
	failed := make(chan error, 1)
	go func() { failed <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return server, client
}
