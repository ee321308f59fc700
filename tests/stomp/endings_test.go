package stomp_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// Whoever is connected when the server ends is told why, by every door and in every
// version, also in the middle of a frame; then the connection ends.
func TestDrain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var all []*client
	for _, version := range versions {
		all = append(all, s.dial().connected(version), s.dialTLS().connected(version), s.webSocket(1<<20).connected(version))
		half := s.dial().connected(version)
		half.say("SEND\ndestination:/open/a\n\nhalf")
		all = append(all, half, s.dial()) // the last has said nothing yet
	}
	all[0].say("SUBSCRIBE\nid:1\ndestination:/open/a\nreceipt:s\n\n\x00")
	all[0].receipt("s")
	s.stop()
	for _, c := range all {
		if f := c.refused("restarts"); f.Text("code") != "unavailable" {
			t.Errorf("%q", f.Headers)
		}
	}
}

// What was received is carried out, also if the client has gone meanwhile; and who
// waits for the receipt of DISCONNECT gets it behind all others.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const many = 3000 // more than may be under way
	for i, end := range []string{"", "DISCONNECT\nreceipt:d\n\n\x00"} {
		name := fmt.Sprint("/open/", i)
		c := s.dial().connected("1.2")
		var all strings.Builder
		for n := range many {
			fmt.Fprintf(&all, "SEND\ndestination:%s\n\n%d\x00", name, n)
		}
		c.say("%s", all.String()+"BEGIN\ntransaction:t\n\n\x00SEND\ndestination:"+name+"\ntransaction:t\n\nundone\x00"+end)
		if end == "" {
			c.Close()
		} else {
			c.receipt("d")
			if f, err := c.next(); err != io.EOF {
				t.Errorf("%q, %v", f.Headers, err)
			}
		}
		reader := s.dial().connected("1.2")
		reader.say("SUBSCRIBE\nid:1\ndestination:%s\nafter:0\n\n\x00", name)
		for n := range many {
			reader.message(fmt.Sprint(n))
		}
		reader.nothing() // the transaction was not committed
	}
}

// Clients that connect and disconnect as fast as they can harm nobody, and leave
// nothing behind (see TestMain).
func TestRapidConnections(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for i := range 300 {
		c := s.dial()
		switch i % 3 {
		case 0:
			c.Close()
		case 1:
			c.say("CONNECT\naccept-version:1.2\n\n\x00")
			c.Close()
		case 2:
			c.connected("1.2").say("DISCONNECT\nreceipt:d\n\n\x00")
			c.receipt("d")
			c.Close()
		}
	}
}

// A connection ends with the token that it was made with, and messages with their
// time: who comes later is told which.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.advance(0)
	r, err := http.NewRequest(http.MethodPost, "http://"+s.address("http")+"/v1/login", nil)
	must(t, err)
	r.SetBasicAuth("alice", "demo")
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	defer http.DefaultClient.CloseIdleConnections()
	defer answer.Body.Close()
	var login struct{ Token string }
	must(t, json.NewDecoder(answer.Body).Decode(&login))
	c := s.dial()
	c.say("CONNECT\naccept-version:1.2\ntoken:%s\n\n\x00", login.Token)
	if f := c.hear(); f.Command != frame.Connected {
		t.Fatalf("%s %q", f.Command, f.Headers)
	}
	c.say("SUBSCRIBE\nid:1\ndestination:/brief/a\n\n\x00")
	var has frame.Frame
	for n := range 3 {
		c.say("SEND\ndestination:/brief/a\nreceipt:%d\n\n%[1]d\x00", n)
		if f := c.message(fmt.Sprint(n)); n == 0 {
			has = f
		}
		c.receipt(fmt.Sprint(n))
	}
	s.advance(13 * time.Hour)
	if f := c.refused("expired"); f.Text("code") != "unauthorized" {
		t.Errorf("%q", f.Headers)
	}
	c = s.dial().connected("1.2")
	c.say("SUBSCRIBE\nid:1\ndestination:/brief/a\nafter:%s\n\n\x00SEND\ndestination:/brief/a\n\n3\x00SEND\ndestination:/brief/a\n\n4\x00", has.Text("message-id"))
	_, after, _ := strings.Cut(has.Text("message-id"), "-")
	if f := c.message("3"); !strings.HasPrefix(f.Text("gap"), after+"-") || !strings.HasSuffix(f.Text("gap"), " expired") {
		t.Errorf("%q", f.Headers)
	}
	if f := c.message("4"); f.Text("gap") != "" {
		t.Errorf("%q", f.Headers)
	}
}

// Who does not read costs no memory that grows with what is published, holds up
// nobody, and gets all of it when it reads. It runs by itself: it looks at the heap.
func TestSlowReader(t *testing.T) {
	s := newSite(t)
	const many, size = 96, 256 << 10
	slow := []*client{s.dial().connected("1.2"), s.dialTLS().connected("1.2"), s.webSocket(1 << 20).connected("1.2")}
	for _, c := range slow {
		c.say("SUBSCRIBE\nid:1\ndestination:/open/a\nreceipt:s\n\n\x00")
		c.receipt("s")
	}
	quick := s.dial().connected("1.2")
	quick.say("SUBSCRIBE\nid:1\ndestination:/open/a\nreceipt:s\n\n\x00")
	quick.receipt("s")
	before := heap()
	body := func(n int) string { return fmt.Sprintf("%04d", n) + strings.Repeat("x", size) }
	for n := range many {
		quick.say("SEND\ndestination:/open/a\nreceipt:%d\n\n%s\x00", n, body(n))
		quick.message(body(n))
		quick.receipt(fmt.Sprint(n))
	}
	if grown := heap() - before; grown > many*size/2 {
		t.Errorf("%d MB more, while %d clients do not read %d MB", grown>>20, len(slow), many*size>>20)
	}
	for _, c := range slow {
		for n := range many {
			c.message(body(n))
		}
	}
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
