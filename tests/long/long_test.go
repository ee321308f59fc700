package long

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/tests/scene"
)

// What the long test runs with.
const (
	residents = 20                    // stay from the beginning to the end
	visitors  = 8                     // at a time, each for some seconds
	idlers    = 200                   // subscribe to what nobody publishes on
	pause     = 10 * time.Millisecond // between a message on each channel and the next
	largest   = 6000                  // of a payload: what is removed goes behind two checkpoints, 64 MiB each
	quiet     = "/kill/quiet"
	patience  = time.Minute     // without any progress
	shortest  = 5 * time.Minute // in which all that is bounded has filled
)

// TestLongMixedLoad has clients on all transports come, stay, go and be cut off, for
// ORBITD_LONG, while messages are published, stored and let go of. Nobody may miss
// anything, and the daemon, once all its bounds are reached, may not grow.
func TestLongMixedLoad(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("ORBITD_LONG"))
	if err != nil {
		t.Skip("takes an hour: make long, or set ORBITD_LONG to a duration")
	}
	l := &long{t: t, daemon: scene.NewDaemon(t, "")}
	l.configure()
	ctx, cancel := context.WithCancel(t.Context())
	defer l.clients.Wait()
	defer cancel()
	l.daemon.Start()
	l.daemon.Ready(ctx)
	l.begin(ctx)
	l.watch(length)
	l.end()
	cancel()
	l.clients.Wait()
	l.daemon.Stop()
	l.judge(length)
}

// A long is one run of the test.
type long struct {
	t        *testing.T
	daemon   *scene.Daemon
	cutter   scene.Cutter
	clients  sync.WaitGroup
	stopping atomic.Bool // the publisher

	residents []*scene.Witness
	visits    atomic.Int64
	visited   scene.Running // what visitors saw
	published atomic.Int64  // of each channel
	accepted  atomic.Int64  // of all

	sizes []int // resident KiB
	files []int
}

// configure bounds what grows with time to what is reached within minutes.
func (l *long) configure() {
	name := l.daemon.File("orbitd.toml")
	text, err := os.ReadFile(name)
	if err != nil {
		l.t.Fatal(err)
	}
	bounded := strings.NewReplacer(
		`segment_size = "1MiB"`, `segment_size = "16MiB"`, // else there are many descriptors
		"[session]\n", "[session]\nttl = \"10s\"\n",
		"[engine]\n", "[engine]\nkey_window = \"1m\"\n",
	).Replace(string(text)) + "retain = { messages = 2_000 }\n"
	if err := os.WriteFile(name, []byte(bounded), 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *long) begin(ctx context.Context) {
	for i := range residents {
		w := &scene.Witness{Who: fmt.Sprintf("resident %d, %s", i, scene.Ways[i%len(scene.Ways)]), Running: &scene.Running{}}
		l.residents = append(l.residents, w)
		l.clients.Go(func() { l.attend(ctx, w, i) })
	}
	for i := range visitors {
		l.clients.Go(func() { l.receive(ctx, i) })
	}
	for range idlers {
		l.clients.Go(func() { l.idle(ctx) })
	}
	c, err := client.New(client.Options{URL: l.daemon.URL(), MaxPending: 64, Dial: l.cutter.Dial})
	if err != nil {
		l.t.Fatal(err)
	}
	l.clients.Go(func() { c.Run(ctx) })
	l.clients.Go(func() { l.publish(ctx, c) })
}

// attend runs client i until ctx ends.
func (l *long) attend(ctx context.Context, w *scene.Witness, i int) {
	w.Attend(ctx, scene.Ways[i%len(scene.Ways)], l.daemon.Door(i), &l.cutter)
}

// receive has one visitor after the other come and go.
func (l *long) receive(ctx context.Context, i int) {
	for ctx.Err() == nil {
		w := &scene.Witness{Who: fmt.Sprintf("visitor %d", l.visits.Add(1)), Running: &scene.Running{}}
		stay, cancel := context.WithTimeout(ctx, time.Duration(100+rand.IntN(4000))*time.Millisecond)
		l.attend(stay, w, i)
		cancel()
		l.visited.Add(w.Running)
		if w.Failed != nil && stay.Err() == nil {
			l.visited.Fault("%s: %v", w.Who, w.Failed)
		}
		i += visitors + 1 // another transport, another door
	}
}

func (l *long) idle(ctx context.Context) {
	c, err := client.New(client.Options{URL: l.daemon.URL(), Dial: l.cutter.Dial})
	if err == nil {
		err = c.Subscribe(client.Subscription{Channel: quiet})
	}
	if err != nil {
		l.t.Error(err)
		return
	}
	c.Run(ctx)
}

// publish publishes a numbered message on every channel, again and again.
func (l *long) publish(ctx context.Context, c *client.Client) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for n := int64(1); !l.stopping.Load(); n++ {
		for _, ch := range scene.Channels {
			want := client.Publication{Channel: ch, Key: key(ch, n)}
			want.Data = fmt.Appendf(nil, `{"n":%d,"pad":%q}`, n, strings.Repeat("x", rand.IntN(largest)))
			if n > 1 {
				want.Prev = key(ch, n-1)
			}
			if err := c.PublishAsync(ctx, want, func(_ client.Receipt, err error) { l.answered(ch, n, err) }); err != nil {
				return
			}
		}
		l.published.Store(n)
		<-ticker.C
	}
}

func key(ch channel.Name, n int64) string { return fmt.Sprintf("%s-%d", ch, n) }

func (l *long) answered(ch channel.Name, n int64, err error) {
	if err == nil {
		l.accepted.Add(1)
	} else if !errors.Is(err, client.ErrClosed) { // that is the end of the test
		l.visited.Fault("publish %d on %s: %v", n, ch, err)
	}
}

// watch notes the daemon's size now and then, and has the network fail.
func (l *long) watch(length time.Duration) {
	const notes = 240
	for i := range notes {
		time.Sleep(length / notes)
		l.cutter.Cut(2 + rand.IntN(50))
		l.sizes, l.files = append(l.sizes, l.resident()), append(l.files, l.descriptors())
		if i%20 == 19 {
			l.t.Logf("%d %%: %d KiB resident, %d descriptors, %d messages of each channel, %d visits",
				100*(i+1)/notes, l.sizes[i], l.files[i], l.published.Load(), l.visits.Load())
		}
	}
}

// end waits until all residents have everything.
func (l *long) end() {
	l.stopping.Store(true)
	since, last := time.Now(), int64(-1)
	for {
		behind, sum := 0, int64(0)
		for _, w := range l.residents {
			got := w.Got.Load()
			sum += got
			if got < l.published.Load()*int64(len(scene.Channels)) {
				behind++
			}
		}
		if behind == 0 {
			return
		}
		if sum != last {
			since, last = time.Now(), sum
		}
		if time.Since(since) > patience {
			l.t.Errorf("%d residents miss something, and nothing comes any more", behind)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// judge says what was lost, and whether the second half needed more than the first.
func (l *long) judge(length time.Duration) {
	var total scene.Running
	total.Add(&l.visited)
	for _, w := range l.residents {
		total.Add(w.Running)
		if w.Failed != nil {
			l.t.Error(w.Failed)
		}
		for _, g := range w.Gaps() {
			l.t.Errorf("%s was told of a gap: %+v", w.Who, g)
		}
	}
	fmt.Printf("accepted=%d %s\n", l.accepted.Load(), &total)
	if err := total.Err(); err != nil {
		l.t.Error(err)
	}
	if length < shortest {
		l.t.Logf("%v says nothing about growth: %v is the least", length, shortest)
		return
	}
	if first, second := half(l.sizes); second > first+first/20+2<<10 {
		l.t.Errorf("the daemon grows: %d KiB resident, later %d KiB", first, second)
	}
	if first, second := half(l.files); second > first+20 {
		l.t.Errorf("the daemon grows: %d descriptors, later %d", first, second)
	}
}

// half returns the medians of the second and of the last quarter: in the first one,
// the daemon fills what it may fill.
func half(notes []int) (first, second int) {
	quarter := len(notes) / 4
	median := func(part []int) int {
		part = slices.Sorted(slices.Values(part))
		return part[len(part)/2]
	}
	return median(notes[quarter : 2*quarter]), median(notes[len(notes)-quarter:])
}

// resident returns the daemon's VmRSS in KiB (proc_pid_status(5)).
func (l *long) resident() int {
	status, err := os.ReadFile(l.proc("status"))
	if err != nil {
		l.t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(status, []byte("VmRSS:"))
	n, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	if err != nil {
		l.t.Fatal(err)
	}
	return n
}

func (l *long) descriptors() int {
	open, err := os.ReadDir(l.proc("fd"))
	if err != nil {
		l.t.Fatal(err)
	}
	return len(open)
}

func (l *long) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", l.daemon.PID(), name)
}
