package ldapauth_test

import (
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	ldap "github.com/go-ldap/ldap/v3"
)

// L6: what comes over the wire may be anything.
func TestBrokenWire(t *testing.T) {
	f := newFake(t)
	to := strings.TrimPrefix(f.url, "ldap://")
	huge := []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02, 0x01, 0x01}
	const slow = "no answer: it took longer than 2s (operation_timeout)"
	for name, tc := range map[string]struct {
		harm func(net.Conn, []byte)
		why  string
	}{
		"closed at once":        {func(c net.Conn, _ []byte) { _ = c.Close() }, "EOF"},
		"closed mid-answer":     {func(c net.Conn, b []byte) { pass(c, b[:len(b)/2]); _ = c.Close() }, "unexpected EOF"},
		"stopped mid-answer":    {func(c net.Conn, b []byte) { pass(c, b[:len(b)-1]) }, slow},
		"nothing":               {func(net.Conn, []byte) {}, slow},
		"zeros":                 {func(c net.Conn, b []byte) { pass(c, make([]byte, len(b))) }, "not LDAP"},
		"a web server":          {func(c net.Conn, _ []byte) { pass(c, []byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, "not LDAP"},
		"the answer, reversed":  {func(c net.Conn, b []byte) { pass(c, reversed(b)) }, "not LDAP"},
		"a length of 2 GiB":     {func(c net.Conn, _ []byte) { pass(c, huge) }, "a message of more than 512 KiB"},
		"a length of too much":  {func(c net.Conn, _ []byte) { pass(c, []byte("\x30\x88\x7f\xff\xff\xff\xff\xff\xff\xff")) }, "a message without a length"},
		"nested without an end": {func(c net.Conn, _ []byte) { pass(c, []byte(strings.Repeat("\x30\x80", 1<<15))) }, "a message without a length"},
		"nested too deep":       {func(c net.Conn, _ []byte) { pass(c, []byte("\x30\x82\x40\x00"+strings.Repeat("\x30\x80", 1<<13))) }, "nesting depth"},
		"an empty message":      {func(c net.Conn, _ []byte) { pass(c, []byte("\x30\x00")) }, slow},
		"somebody else's":       {func(c net.Conn, b []byte) { pass(c, withID(b, 4711)) }, slow},
		"no operation in it":    {func(c net.Conn, b []byte) { pass(c, withOperation(b)) }, "invalid packet format"},
		"an empty operation": {func(c net.Conn, b []byte) {
			pass(c, withOperation(b, ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindResponse, nil, "")))
		}, "invalid packet format"},
		"without an end": {func(c net.Conn, b []byte) {
			for _, err := c.Write(huge); err == nil; {
				_, err = c.Write(make([]byte, 1<<20))
			}
		}, "a message of more than 512 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, to, tc.harm)
			o, c := clocked(f.options())
			o.URLs, o.OperationTimeout, o.LoginTimeout = []string{p.url}, 2*time.Second, time.Minute // all that is not slow has time
			a := open(t, o)
			_, err := login(t, a, "alice", "alice-secret")
			wantRecovery(t, a, c, err, tc.why, func() { p.healed.Store(true) })
		})
	}
}

// L6: an answer that goes on and on is not read to its end, however fast it comes.
func TestEndlessAnswer(t *testing.T) {
	f := newFake(t)
	const length = 64 << 20
	var taken atomic.Int64
	p := newProxy(t, strings.TrimPrefix(f.url, "ldap://"), func(c net.Conn, b []byte) {
		entry := withEntry(b, strings.Repeat("x", 100<<10))
		for err := error(nil); entry != nil && err == nil && taken.Load() < length; {
			var n int
			n, err = c.Write(entry)
			taken.Add(int64(n))
		}
		if entry == nil {
			pass(c, b)
		}
	})
	o := f.options()
	o.URLs, o.OperationTimeout, o.LoginTimeout = []string{p.url}, time.Minute, time.Minute
	_, err := login(t, open(t, o), "alice", "alice-secret")
	if wantUnknown(t, err); taken.Load() > length*3/4 || !strings.Contains(err.Error(), "an answer of more than 8 MiB") {
		t.Errorf("%d bytes of an answer were taken: %v", taken.Load(), err)
	}
}

// L6: one byte now and then is an answer that takes too long, not one that goes on.
func TestSlowWire(t *testing.T) {
	f := newFake(t)
	p := newProxy(t, strings.TrimPrefix(f.url, "ldap://"), func(c net.Conn, b []byte) {
		for _, x := range b {
			if _, err := c.Write([]byte{x}); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	o := f.options()
	o.URLs = []string{p.url}
	_, err := login(t, open(t, o), "alice", "alice-secret")
	wantUnknown(t, err)
}

// L6: what comes costs memory within bounds, also when it is made to be large once
// it is decoded.
func TestMemoryOfAnAnswer(t *testing.T) {
	f := newFake(t)
	p := newProxy(t, strings.TrimPrefix(f.url, "ldap://"), func(c net.Conn, b []byte) {
		first, second := withEntry(b, make([]string, 250_000)...), withEntry(b, make([]string, 270_000)...)
		if first == nil {
			pass(c, b)
			return
		}
		pass(c, first)
		pass(c, second)
	})
	o := f.options()
	o.URLs, o.OperationTimeout, o.LoginTimeout = []string{p.url}, time.Minute, time.Minute
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := login(t, open(t, o), "alice", "alice-secret")
	runtime.ReadMemStats(&after)
	if wantUnknown(t, err); !strings.Contains(err.Error(), "a message of more than 512 KiB") {
		t.Error(err)
	}
	if mib := (after.HeapSys - before.HeapSys) >> 20; mib > 384 { // of the first entry, twice, and this test's own
		t.Errorf("an entry of 500 KiB takes %d MiB", mib)
	}
}

func reversed(b []byte) []byte {
	r := make([]byte, len(b))
	for i, x := range b {
		r[len(b)-1-i] = x
	}
	return r
}

// withID returns an answer as if to another question.
func withID(b []byte, id int64) []byte {
	packet, err := ber.DecodePacketErr(b)
	if err != nil {
		return b
	}
	return message(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""), packet.Children[1:]...)
}

// withOperation returns an answer that is something else.
func withOperation(b []byte, operation ...*ber.Packet) []byte {
	packet, err := ber.DecodePacketErr(b)
	if err != nil {
		return b
	}
	return message(packet.Children[0], operation...)
}

// withEntry returns, in place of the answer to a search, an entry with such names, or
// nil in place of any other answer.
func withEntry(b []byte, names ...string) []byte {
	packet, err := ber.DecodePacketErr(b)
	if err != nil || packet.Children[1].Tag == ldap.ApplicationBindResponse {
		return nil
	}
	text := func(s string) *ber.Packet {
		return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
	}
	entry := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
	attribute, values := ber.NewSequence(""), ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
	for _, name := range names {
		values.AppendChild(text(name))
	}
	attribute.AppendChild(text("uid"))
	attribute.AppendChild(values)
	list := ber.NewSequence("")
	list.AppendChild(attribute)
	entry.AppendChild(text(aliceDN))
	entry.AppendChild(list)
	return message(packet.Children[0], entry)
}

func message(id *ber.Packet, rest ...*ber.Packet) []byte {
	m := ber.NewSequence("")
	for _, p := range append([]*ber.Packet{id}, rest...) {
		m.AppendChild(p)
	}
	return m.Bytes()
}
