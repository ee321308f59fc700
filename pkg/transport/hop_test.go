package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A hopper is one client that changes its transport all the time, and whose
// connections are cut at random. It keeps its positions, names them, and drops
// nothing: by PROTOCOL.md it then is sent each message once and in order.
type hopper struct {
	t   *testing.T
	r   *rig
	rnd *rand.Rand

	session, secret, epoch string
	last                   map[string]uint64
	got                    map[string][]int
	resumed                int

	own      int  // its own messages that are stored
	answered bool // the newest of them, by a reply
}

const hopOwn = "/own/x"

// TestHops: a session moves between transports while messages are published, with
// its connections cut at any byte. Nothing is lost, repeated or out of order, and
// what it publishes itself with a key is stored once.
func TestHops(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newRig(t, rigOptions{})
			h := &hopper{
				t: t, r: r, rnd: rand.New(rand.NewPCG(seed, 3)), got: map[string][]int{},
				last: map[string]uint64{"/a": 0, "/b": 0, "/c": 0},
			}
			h.run(1200)
		})
	}
}

func (h *hopper) run(messages int) {
	names := slices.Sorted(maps.Keys(h.last))
	var publishing sync.WaitGroup
	defer publishing.Wait()
	publishing.Go(func() {
		for i := range messages {
			h.r.publish(channel.Name(names[i%3]), i/3)
		}
	})
	hops := 0
	for ; h.count() < messages || h.own < 20; hops++ {
		if hops == 20_000 {
			h.t.Fatalf("it does not get on: %d of %d, %d of its own", h.count(), messages, h.own)
		}
		h.hop(ways[h.rnd.IntN(len(ways))], messages)
	}
	for name, got := range h.got {
		for i, n := range got {
			if n != i {
				h.t.Fatalf("message %d of %s is %d", i, name, n)
			}
		}
	}
	if h.resumed < hops/4 {
		h.t.Errorf("the session was taken up in %d of %d hops", h.resumed, hops)
	}
	h.checkOwn()
}

func (h *hopper) count() (n int) {
	for _, got := range h.got {
		n += len(got)
	}
	return n
}

// hop is one connection, from its beginning to where it is cut.
func (h *hopper) hop(w way, messages int) {
	last, err := json.Marshal(h.last)
	must(h.t, err)
	fields := fmt.Sprintf(`"last":%s`, last)
	if h.session != "" {
		fields += fmt.Sprintf(`,"session":%q,"secret":%q,"epoch":%q`, h.session, h.secret, h.epoch)
	}
	c, hello, err := h.r.tryOn(w, cutting(h.rnd.IntN(12_000)), fields)
	if err != nil {
		return
	}
	defer c.close()
	c.wait = 0
	h.session, h.secret, h.epoch = c.session, c.secret, c.epoch
	if hello["resumed"] == true {
		h.resumed++
	}
	h.publishOwn(c)
	for range h.rnd.IntN(300) {
		text, err := c.text()
		if err != nil {
			break
		}
		h.take(decode(h.t, text))
		if h.count() >= messages && h.answered {
			break
		}
	}
	for _, text := range c.queue { // it has them, too
		h.take(decode(h.t, text))
	}
	h.session, h.secret, h.epoch = c.session, c.secret, c.epoch
}

// publishOwn publishes the next message of its own, or that of which it does not
// know what became.
func (h *hopper) publishOwn(c *talk) {
	h.answered = false
	_ = c.trySend(fmt.Sprintf(`{"id":77,"op":"publish","channel":%q,"data":%d,"key":"own-%d"}`, hopOwn, h.own, h.own))
}

func (h *hopper) take(o object) {
	h.t.Helper()
	name, _ := o["ch"].(string)
	switch {
	case o["re"] == 77.0:
		if o["offset"] == nil {
			h.t.Fatalf("got %v", o)
		}
		h.own++
		h.answered = true
	case o["o"] != nil:
		offset, previous := uint64(o["o"].(float64)), uint64(o["p"].(float64))
		if offset <= h.last[name] || previous > h.last[name] || o["r"] != nil {
			h.t.Fatalf("at %d of %s came %v", h.last[name], name, o)
		}
		h.last[name] = offset
		h.got[name] = append(h.got[name], int(o["d"].(float64)))
	case o["at"] != nil:
		h.last[name] = max(h.last[name], uint64(o["at"].(float64)))
	case o["gap"] != nil, o["error"] != nil, o["revoked"] != nil:
		h.t.Fatalf("got %v", o)
	}
}

func (h *hopper) checkOwn() {
	b, err := h.r.engine.Read(context.Background(), []channel.Name{hopOwn}, message.Position{}, engine.Limit{Messages: 10_000})
	must(h.t, err)
	for i, m := range b.Messages {
		if string(m.Data) != fmt.Sprint(i) {
			h.t.Fatalf("message %d of its own is %s", i, m.Data)
		}
	}
	if len(b.Messages) < h.own || len(b.Messages) > h.own+1 {
		h.t.Errorf("%d of its own are stored, %d were answered", len(b.Messages), h.own)
	}
}
