package reactor

import (
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
