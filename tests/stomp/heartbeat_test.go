package stomp_test

import (
	"io"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// beats says CONNECT with a header heart-beat.
func (s *site) beats(version, header string) *client {
	s.t.Helper()
	c := s.dial()
	c.say("CONNECT\naccept-version:%s\nhost:x\n%s\n\x00", version, header)
	f := c.hear()
	want := "2000,10000" // what the server can do, and what it wants
	if version == "1.0" {
		want = ""
	}
	if f.Command != frame.Connected || f.Text("heart-beat") != want {
		s.t.Fatalf("%s %q: %s %q", version, header, f.Command, f.Headers)
	}
	return c
}

// beat hears an end of line, and nothing else. One that comes was written by a tick
// which has seen all that this side did before the last one.
func (c *client) beat() {
	c.t.Helper()
	one := []byte{0}
	if len(c.unread) > 0 {
		c.t.Fatalf("%q, not a heart-beat", c.unread)
	}
	if _, err := io.ReadFull(c.Conn, one); err != nil || one[0] != '\n' {
		c.t.Fatalf("%q, %v, not a heart-beat", one, err)
	}
}

// step is an advance of the clock of which a client may be silent for one, and for
// a second one where a tick comes before what it has said; not for a third.
const step = 9 * time.Second

// The server sends what it has promised, whether the client promises anything or not,
// and a client that promises nothing may be silent for ever.
func TestHeartBeatsOfTheServer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, version := range []string{"1.1", "1.2"} {
		c := s.beats(version, "heart-beat:0,9000\n")
		for range 4 {
			s.advance(step)
			c.beat()
		}
	}
}

// Who wants no heart-beats gets none; in 1.0 there are none, whatever the client says.
func TestNoHeartBeats(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var quiet []*client
	for version, header := range map[string]string{"1.0": "heart-beat:1000,1000\n", "1.1": "", "1.2": "heart-beat:0,0\n"} {
		for range 4 { // on each loop
			quiet = append(quiet, s.beats(version, header))
		}
	}
	other := s.beats("1.2", "heart-beat:0,2000\n")
	for range 3 {
		s.advance(time.Hour)
		other.beat()
	}
	for _, c := range quiet {
		c.say("SEND\ndestination:/open/a\nreceipt:r\n\n\x00")
		first := make([]byte, len("RECEIPT"))
		if _, err := io.ReadFull(c.Conn, first); err != nil || string(first) != "RECEIPT" {
			t.Errorf("%q, %v", first, err)
		}
	}
}

// Whatever comes from a client shows that it is alive: an end of line, and every piece
// of a frame, for as long as that may take. When nothing comes, the server bears that for twice as
// long as was agreed on.
func TestHeartBeatsOfTheClient(t *testing.T) {
	t.Parallel()
	for name, life := range map[string][2]string{"ends of lines": {"", "\n"}, "a frame in pieces": {"SEND\ndestination:/open/a\n\n", "x"}} {
		for _, version := range []string{"1.1", "1.2"} {
			t.Run(name+", "+version, func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				s.advance(0)
				c := s.beats(version, "heart-beat:5000,2000\n") // hence 10 s, which is what the server wants
				c.say("%s", life[0])
				for range 3 {
					c.say("%s", life[1])
					s.advance(step)
					c.beat()
				}
				s.advance(3 * step)
				if f := c.refused("no heart-beat for 20s"); f.Text("code") != "bad_request" {
					t.Errorf("%q", f.Headers)
				}
			})
		}
	}
}

func TestMalformedHeartBeats(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, header := range []string{"", "1000", "1000,", ",1000", "a,b", "-1,0", "1000,1000,1000", "99999999999,0"} {
		c := s.dial()
		c.say("CONNECT\naccept-version:1.2\nhost:x\nheart-beat:%s\n\n\x00", header)
		c.refused("heart-beat")
	}
}
