package transport

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// FuzzFrames sends any bytes behind a handshake: whatever they are, the
// connection ends or waits for more, and a client beside it is still served.
func FuzzFrames(f *testing.F) {
	for _, seed := range []string{
		"", "\x81\x80\x00\x00\x00\x00", "\x81\x02{}", "\x88\x82\x00\x00\x00\x00\x03\xe8", "\x01\x80\x00\x00\x00\x00\x80\x80\x00\x00\x00\x00",
		"\x81\x99\x00\x00\x00\x00" + `{"id":1,"op":"connect"}` + "\n\n", "\x89\x80\x00\x00\x00\x00\x81\xfe\x00\x7e",
	} {
		f.Add([]byte(seed))
	}
	r := newRig(f, rigOptions{limits: Limits{CommandRate: 1 << 30}})
	witness := r.dial()
	witness.connect("")
	address := strings.TrimSuffix(strings.TrimPrefix(r.url, "ws://"), Path)
	const handshake = "GET " + Path + " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.Dial("tcp", address)
		must(t, err)
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = conn.Write(append([]byte(handshake), data...))
		must(t, err)
		must(t, conn.(*net.TCPConn).CloseWrite())
		_, _ = io.Copy(io.Discard, conn) // a reset is an end, too
		witness.t = t                    // methods of f may not be called here
		must(t, witness.conn.SetDeadline(time.Now().Add(patience)))
		witness.send(`{"op":"ping"}`)
		witness.want(`{"op":"pong"}`)
	})
}
