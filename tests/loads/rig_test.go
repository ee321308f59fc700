package loads

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/tests/bench/load"
	"github.com/orbitd/orbitd/tests/scene"
)

// A rig is a daemon with a few clients that are to be served whatever comes, and the
// crowd that comes. The test's goroutine plays them all.
type rig struct {
	*testing.T
	*scene.Daemon
	loop *load.Loop

	others    *load.Fleet
	publisher *load.Client
	clients   []*load.Client
	published uint64
	accepted  uint64

	base, peak int // pages
}

// others is how many clients are to be served, and channel what they follow.
const (
	others  = 50
	channel = "/kill/loads"
)

// start starts the daemon, with a fresh crowd to come.
func start(t *testing.T, d *scene.Daemon) *rig {
	t.Helper()
	d.Start()
	t.Cleanup(d.Kill)
	d.Ready(t.Context())
	loop, err := load.NewLoop()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(loop.Close)
	r := &rig{T: t, Daemon: d, loop: loop, others: load.NewFleet(loop, load.Orbit{}, address(t, d.Address))}
	r.clients = must(r.others.AddAll(others, load.FromNow, func(int) (int, string) { return 0, channel }))(t)
	r.publisher = must(r.others.AddPublishers(1))(t)[0]
	r.publisher.OnAccept = func() { r.accepted++ }
	r.pass(500 * time.Millisecond) // what the daemon needs for these
	r.base, r.peak = r.resident(), 0
	return r
}

// size returns n, or a tenth of it where the test is to be short.
func (r *rig) size(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

func must[V any](v V, err error) func(*testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func address(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	return must(netip.ParseAddrPort(text))(t)
}

// resident returns the pages of memory that the daemon has.
func (r *rig) resident() int {
	text := must(os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.PID())))(r.T)
	return must(strconv.Atoi(strings.Fields(string(text))[1]))(r.T)
}

// pass lets time pass, in which the others are served.
func (r *rig) pass(d time.Duration) {
	r.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); {
		r.publish(128)
		r.step(10 * time.Millisecond)
	}
}

func (r *rig) publish(size int) {
	if r.published-r.accepted < 16 {
		r.published++
		r.publisher.Publish(channel, r.published, size)
	}
}

// step plays for that long, and looks at the daemon's memory.
func (r *rig) step(d time.Duration) {
	r.Helper()
	if err := r.others.For(d); err != nil {
		r.Fatal(err)
	}
	r.peak = max(r.peak, r.resident())
}

// most is by how much the daemon may have grown, in bytes.
const most = 64 << 20

// verdict is that the others have got everything, and the daemon has not grown.
func (r *rig) verdict() {
	r.Helper()
	all := int64(r.published * others)
	if err := r.others.Until("the others have everything", func() bool { return r.others.Received >= all }); err != nil {
		r.Fatal(err)
	}
	r.others.Missing(r.clients, r.published)
	if !r.others.Whole() {
		r.Errorf("the others: lost/repeated/reordered %s", r.others.Verdict())
	}
	grown := (r.peak - r.base) * os.Getpagesize()
	r.Logf("%d messages to %d others; the daemon had %.1f MB and grew by %.1f MB", r.published, others, mb(r.base*os.Getpagesize()), mb(grown))
	if grown >= most {
		r.Errorf("the daemon grew by %.1f MB; %d MiB is the most", mb(grown), most>>20)
	}
}

func mb(n int) float64 { return float64(n) / 1e6 }

// come has n of a crowd come, and waits until they are there. secure is by TLS.
func (r *rig) come(n int, secure bool, to string, c load.Crowd) *load.Crowd {
	r.Helper()
	c.Loop = r.loop
	if secure {
		r.loop.TLS = r.Trusts
		defer func() { r.loop.TLS = nil }()
	}
	err := c.Come(r.size(n), address(r.T, to), func() error {
		r.publish(128)
		r.step(time.Millisecond)
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	return &c
}

// plainly and secretly are come to either port; the latter by TLS.
func (r *rig) plainly(n int, c load.Crowd) *load.Crowd {
	r.Helper()
	return r.come(n, false, r.Address, c)
}

func (r *rig) secretly(n int, c load.Crowd) *load.Crowd {
	r.Helper()
	return r.come(n, true, r.Secure, c)
}
