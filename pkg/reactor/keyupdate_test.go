package reactor_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// A rekeyer is a client of TLS 1.3 that writes its own records, as crypto/tls
// gives no way to update keys: it takes the secret that is logged for debuggers.
type rekeyer struct {
	t      *testing.T
	nc     net.Conn
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func newRekeyer(t *testing.T, nc net.Conn) *rekeyer {
	t.Helper()
	var log bytes.Buffer
	c := clientOf(tls.VersionTLS13)
	c.KeyLogWriter = &log
	tc := secure(t, nc, c)
	if s := tc.ConnectionState().CipherSuite; s != tls.TLS_AES_128_GCM_SHA256 {
		t.Fatalf("suite %s", tls.CipherSuiteName(s))
	}
	_, line, _ := strings.Cut(log.String(), "CLIENT_TRAFFIC_SECRET_0 ")
	secret, err := hex.DecodeString(strings.Fields(line)[1])
	if err != nil {
		t.Fatal(err)
	}
	k := &rekeyer{t: t, nc: nc}
	k.use(secret)
	return k
}

// derive is HKDF-Expand-Label (RFC 8446, section 7.1).
func (k *rekeyer) derive(secret []byte, label string, length int) []byte {
	label = "tls13 " + label
	info := append([]byte{0, byte(length), byte(len(label))}, label...)
	b, err := hkdf.Expand(sha256.New, secret, string(append(info, 0)), length)
	if err != nil {
		k.t.Fatal(err)
	}
	return b
}

func (k *rekeyer) use(secret []byte) {
	block, err := aes.NewCipher(k.derive(secret, "key", 16))
	if err != nil {
		k.t.Fatal(err)
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		k.t.Fatal(err)
	}
	k.secret, k.iv, k.seq = secret, k.derive(secret, "iv", 12), 0
}

// record returns one record (RFC 8446, section 5.2).
func (k *rekeyer) record(kind byte, data string) []byte {
	nonce := bytes.Clone(k.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, k.seq) {
		nonce[4+i] ^= b
	}
	k.seq++
	header := []byte{23, 3, 3, 0, byte(len(data) + 17)}
	return k.aead.Seal(header, nonce, append([]byte(data), kind), header)
}

// update returns a KeyUpdate that asks for one in return, and uses the new keys.
func (k *rekeyer) update() []byte {
	b := k.record(22, "\x18\x00\x00\x01\x01")
	k.use(k.derive(k.secret, "traffic upd", 32))
	return b
}

func TestTLSKeyUpdate(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	addr := listenTLS(t, r, func(*reactor.Conn) reactor.Handler { return &handler{data: echo} })
	nc := dial(t, addr)
	k := newRekeyer(t, nc)
	for range 3 {
		if _, err := nc.Write(append(k.update(), k.record(23, "x")...)); err != nil {
			t.Fatal(err)
		}
		answers := make([]byte, 5+5+17+5+1+17)
		if _, err := io.ReadFull(nc, answers); err != nil {
			t.Fatal(err)
		}
		if answers[4] != 5+17 || answers[5+5+17+4] != 1+17 {
			t.Fatalf("want the server's update and the echo, not %x", answers)
		}
	}
}

// TestTLSKeyUpdateFlood: answers that the peer does not take are not kept without
// end.
func TestTLSKeyUpdateFlood(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	lc := net.ListenConfig{Control: tiny}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ended := make(chan error, 1)
	if err := r.ListenTLS(l, newPair().server, func(*reactor.Conn) reactor.Handler {
		return &handler{closed: func(_ *reactor.Conn, err error) { ended <- err }}
	}); err != nil {
		t.Fatal(err)
	}
	d := net.Dialer{Control: tiny}
	nc, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	k := newRekeyer(t, nc)
	for range 100_000 {
		if _, err := nc.Write(append(k.update(), k.record(23, "x")...)); err != nil {
			break
		}
	}
	if err := get(t, ended); err != reactor.ErrAnswers {
		t.Error(err)
	}
}
