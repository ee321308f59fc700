package stomp_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// A crowd is clients that do anything with one channel: acknowledge, refuse, vanish,
// unsubscribe, and take a durable subscription from each other.
type crowd struct {
	site          *site
	channel, kind string

	mu     sync.Mutex
	said   map[string]bool // ACK was sent
	heard  map[string]bool // and its receipt has come
	faults []string
}

func (c *crowd) subscribe(window int) string {
	return fmt.Sprintf("SUBSCRIBE\nid:s\ndestination:%s\nack:client-individual\nprefetch-count:%d\n%s\n\x00", c.channel, window, c.kind)
}

// live is a client, until its connection ends. It reports whether it has heard the end.
func (c *crowd) live(rng *rand.Rand) (quit bool) {
	conn := c.site.alice("1.2", "x")
	defer conn.Close()
	say := func(format string, args ...any) { fmt.Fprintf(conn.Conn, format, args...) } // what fails, next tells
	over := c.acknowledged()
	say("%s", c.subscribe(1+rng.IntN(8)))
	for paused := false; ; {
		f, err := conn.next()
		body := string(f.Body)
		switch {
		case err != nil || f.Command == frame.Error: // displaced
			time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
			return false
		case f.Command == frame.Receipt && f.Text("receipt-id") == "paused":
			paused, over = false, c.acknowledged()
			say("%s", c.subscribe(1+rng.IntN(8)))
		case f.Command == frame.Receipt:
			over[f.Text("receipt-id")] = true
			c.note(f.Text("receipt-id"), c.heard)
		case paused: // was on its way
		case body == "quit":
			return true
		case over[body]:
			c.fault("%s came again on a subscription that began behind the receipt of its ACK", body)
			say("ACK\nid:%s\n\n\x00", f.Text("ack"))
		default:
			switch n := rng.IntN(40); {
			case n == 0:
				return false // vanishes
			case n == 1:
				paused = true
				say("UNSUBSCRIBE\nid:s\nreceipt:paused\n\n\x00")
			case n < 8 || strings.HasSuffix(body, "77"): // some are sure to die
				say("NACK\nid:%s\n\n\x00", f.Text("ack"))
			default:
				c.note(body, c.said)
				say("ACK\nid:%s\nreceipt:%s\n\n\x00", f.Text("ack"), body)
			}
		}
	}
}

func (c *crowd) note(body string, in map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in[body] = true
}

// acknowledged returns what is known to be by now.
func (c *crowd) acknowledged() map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.heard)
}

func (c *crowd) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// Whatever clients do: each message is acknowledged or dies, what died did so once, and
// what was acknowledged neither dies nor comes again.
func TestChaos(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	total := 500
	if testing.Short() {
		total = 200
	}
	crowds := []*crowd{{channel: "/team/a", kind: "durable:true\n"}, {channel: "/team/c", kind: "group:g\n"}}
	var all sync.WaitGroup
	p := s.alice("1.2", "p")
	for i, c := range crowds {
		c.site, c.said, c.heard = s, map[string]bool{}, map[string]bool{}
		first := s.alice("1.2", "x") // so that it is there before the first message
		first.say("%sDISCONNECT\nreceipt:d\n\n\x00", c.subscribe(1))
		first.the(frame.Receipt)
		for n := range 3 {
			rng := rand.New(rand.NewPCG(uint64(i), uint64(n)))
			all.Go(func() {
				for !c.live(rng) {
				}
			})
		}
	}
	for n := range total {
		for _, c := range crowds {
			p.say("SEND\ndestination:%s\ncontent-type:text/plain\n\n%d\x00", c.channel, n)
		}
	}
	for _, c := range crowds {
		p.say("SEND\ndestination:%s\ncontent-type:text/plain\nreceipt:quit\n\nquit\x00", c.channel)
		p.the(frame.Receipt)
	}
	all.Wait()
	for _, c := range crowds {
		c.judge(t, total)
	}
}

// judge has a last client take what is left, and compares.
func (c *crowd) judge(t *testing.T, total int) {
	last := c.site.alice("1.2", "x")
	last.say("%s", c.subscribe(200))
	for {
		f := last.the(frame.Message)
		last.ack("ACK", f)
		if string(f.Body) == "quit" {
			break
		}
		if c.heard[string(f.Body)] {
			c.fault("%s was acknowledged, and is still there", f.Body)
		}
		c.said[string(f.Body)] = true
	}
	last.nothing()
	dead := c.site.alice("1.2", "dead")
	dead.say("SEND\ndestination:%s/$dead\n\nend\x00SUBSCRIBE\nid:d\ndestination:%[1]s/$dead\nafter:0\n\n\x00", c.channel)
	died := map[string]bool{}
	for body := ""; ; died[body] = true {
		if body = string(dead.the(frame.Message).Body); body == "end" {
			break
		}
		if died[body] || c.heard[body] {
			c.fault("%s died, twice: %v, or was acknowledged: %v", body, died[body], c.heard[body])
		}
	}
	lost := 0
	for n := range total {
		if body := fmt.Sprint(n); !c.said[body] && !died[body] {
			lost++
		}
	}
	t.Logf("%s: %d were acknowledged, %d died", c.kind, len(c.said), len(died))
	if lost > 0 || len(c.faults) > 0 || len(died) == 0 {
		t.Errorf("%s: %d were lost; %q", c.kind, lost, c.faults)
	}
}
