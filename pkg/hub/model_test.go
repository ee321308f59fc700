package hub_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/reactor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A model is a world in which everything happens at random, and each reader is
// compared with the plain list of what its channel holds after its start.
type model struct {
	*world
	rnd     *rand.Rand
	readers []*modelled
}

type modelled struct {
	*reader
	start message.Offset
}

// Whatever falls together: every reader gets each message after its start
// exactly once and in order.
func TestModel(t *testing.T) {
	seeds := 200
	if testing.Short() {
		seeds = 50
	}
	for seed := range seeds {
		m := &model{world: newWorld(t, 2), rnd: rand.New(rand.NewPCG(5, uint64(seed)))}
		for range 10 {
			m.join()
		}
		for i := range 400 {
			m.step()
			if i%20 == 0 {
				m.check(false)
			}
		}
		m.finish()
		m.check(true)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func (m *model) step() {
	r := m.readers[m.rnd.IntN(len(m.readers))]
	switch m.rnd.IntN(12) {
	case 0, 1, 2:
		m.commitSome()
	case 3:
		l := m.loops[m.rnd.IntN(2)]
		l.run(m.rnd.IntN(3))
	case 4, 5:
		m.turnOne(m.rnd.IntN(2))
	case 6:
		r.refuse = !r.refuse
	case 7, 8:
		m.pump(r)
	case 9:
		m.readAhead(r)
	case 10:
		m.leave(r)
		m.join()
	case 11:
		m.hub.Shards()[m.rnd.IntN(2)].Tick()
	}
}

func (m *model) commitSome() {
	size := m.rnd.IntN(300)
	if m.rnd.IntN(6) == 0 {
		size = m.rnd.IntN(20 << 10)
	}
	var names []channel.Name
	for range 1 + m.rnd.IntN(6) {
		names = append(names, numbered("/m", m.rnd.IntN(4)))
	}
	m.commit(size, names...)
}

// join starts a reader anywhere in the past, or now.
func (m *model) join() {
	start := m.last()
	if m.rnd.IntN(2) == 0 {
		start = message.Offset(m.rnd.IntN(int(start) + 1))
	}
	r := m.world.join(m.rnd.IntN(2), numbered("/m", m.rnd.IntN(3)), plain(1+m.rnd.IntN(2)), start)
	m.readers = append(m.readers, &modelled{r, start})
	m.shuffle(r)
}

// shuffle has a reader change the membership of others while it is delivered to.
func (m *model) shuffle(r *reader) {
	r.during = func() {
		if m.rnd.IntN(20) > 0 {
			return
		}
		if o := m.readers[m.rnd.IntN(len(m.readers))]; o.reader != r && o.shard == r.shard {
			m.leave(o)
		}
	}
}

func (m *model) leave(r *modelled) {
	r.shard.Leave(&r.Subscription)
	m.readers = slices.DeleteFunc(m.readers, func(o *modelled) bool { return o == r && len(m.readers) > 1 })
}

// pump does what a session does: memory, else the log, else live.
func (m *model) pump(r *modelled) {
	if !r.Joined() || r.Live() {
		return
	}
	run, ok := r.shard.Backlog(&r.Subscription, 1+m.rnd.IntN(10), m.rnd.IntN(100<<10))
	switch {
	case !ok:
		m.readAhead(r)
	case len(run.Ends) == 0:
		r.Sent = max(r.Sent, r.Through())
		if !r.shard.Resume(&r.Subscription) {
			m.t.Fatal("there is no backlog, and it is not live")
		}
	default:
		r.take(run)
		r.Sent = run.Last()
	}
}

// readAhead reads the log, of which the shard may not know yet.
func (m *model) readAhead(r *modelled) {
	if !r.Joined() || r.Live() {
		return
	}
	found := m.of(r.name, r.Sent)
	after, through := r.Sent, m.last()
	if n := 1 + m.rnd.IntN(10); n < len(found) {
		found = found[:n]
		through = found[n-1]
	}
	if m.rnd.IntN(2) == 0 {
		r.shard.Fill(&r.Subscription, after, m.framed(r.name, r.format, found), through)
	}
	r.Sent = through
	r.got = append(r.got, found...)
}

func (m *model) finish() {
	m.turn()
	for _, r := range m.readers {
		r.refuse = false
		for r.Joined() && !r.Live() {
			m.pump(r)
		}
	}
	m.commit(10, "/m0", "/m1", "/m2")
	m.turn()
}

func (m *model) check(whole bool) {
	for i, r := range m.readers {
		if !r.Joined() {
			continue
		}
		want := m.of(r.name, r.start)
		if len(r.got) > len(want) || !whole && !slices.Equal(r.got, want[:len(r.got)]) || whole && !slices.Equal(r.got, want) {
			m.t.Fatalf("reader %d of %s from %d got %v of %v", i, r.name, r.start, r.got, want)
		}
	}
}

// A follower reads one channel as a session does, on a real loop and from a real
// engine: live, from the shard's memory, or from the log by another goroutine.
type follower struct {
	hub.Subscription
	t      *testing.T
	loop   *reactor.Loop
	shard  *hub.Shard
	engine engine.Engine
	name   channel.Name
	rnd    *rand.Rand
	got    []message.Offset
	until  int
	done   *sync.WaitGroup
}

func (f *follower) tip() (engine.Tip, bool) { return f.engine.Tip(f.name) }

func (f *follower) start() {
	f.Subscriber = f
	f.shard.Join(&f.Subscription, f.name, plain(1), f.tip)
	f.pump()
}

func (f *follower) Deliver(_ *hub.Subscription, run hub.Run) bool {
	switch f.rnd.IntN(8) {
	case 0: // falls behind
		f.loop.Post(f.pump)
		return false
	case 1: // leaves, and comes back to where it stands
		f.shard.Leave(&f.Subscription)
		f.loop.Post(f.start)
		return false
	}
	f.take(run)
	return true
}

func (f *follower) take(run hub.Run) { f.note(offsets(f.t, 1, run)...) }

func (f *follower) note(offsets ...message.Offset) {
	before := len(f.got)
	f.got = append(f.got, offsets...)
	if before < f.until && len(f.got) >= f.until {
		f.done.Done()
	}
}

func (f *follower) pump() {
	for f.Joined() && !f.Live() {
		run, ok := f.shard.Backlog(&f.Subscription, 1+f.rnd.IntN(20), 1<<20)
		switch {
		case !ok:
			f.read()
			return
		case len(run.Ends) == 0:
			f.shard.Resume(&f.Subscription)
			return
		}
		f.take(run)
		f.Sent = run.Last()
	}
}

func (f *follower) read() {
	after := message.Position{Epoch: f.engine.Status().Epoch, Offset: f.Sent}
	limit := engine.Limit{Messages: 1 + f.rnd.IntN(50)}
	f.done.Go(func() {
		b, err := f.engine.Read(context.Background(), []channel.Name{f.name}, after, limit)
		if err != nil {
			f.t.Error(err)
		}
		f.loop.Post(func() {
			for i := range b.Messages {
				f.note(b.Messages[i].Offset)
			}
			f.Sent = b.Through
			f.pump()
		})
	})
}

// Many goroutines publish while followers on real loops fall behind, leave and
// come back: each gets every message of its channel exactly once, in order.
func TestManyPublishers(t *testing.T) {
	const loops, channels, publishers, each, followers = 3, 4, 8, 100, 40
	e := memory.New(memory.Options{})
	r, err := reactor.New(reactor.Options{Loops: loops})
	if err != nil {
		t.Fatal(err)
	}
	var hubLoops []hub.Loop
	for _, l := range r.Loops() {
		hubLoops = append(hubLoops, l)
	}
	h := hub.New(hubLoops)
	for i, s := range h.Shards() {
		r.Loops()[i].OnTurn(s.Round)
		r.Loops()[i].OnTick(func(time.Time) { s.Tick() })
	}
	stop := e.Tail(h.Commit)

	var done sync.WaitGroup
	var all []*follower
	for i := range followers {
		f := &follower{
			t: t, loop: r.Loops()[i%loops], shard: h.Shards()[i%loops], engine: e, name: numbered("/p", i%channels),
			rnd: rand.New(rand.NewPCG(7, uint64(i))), until: publishers * each / channels, done: &done,
		}
		done.Add(1)
		all = append(all, f)
		f.loop.Post(f.start)
	}
	for p := range publishers {
		done.Go(func() {
			for i := range each {
				data := binary.BigEndian.AppendUint32(nil, uint32(i))
				if _, err := engine.Publish(t.Context(), e, message.Message{Channel: numbered("/p", (p+i)%channels), Data: data}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	stop()
	if err := r.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	for i, f := range all {
		if err := compare(e, f); err != nil {
			t.Errorf("follower %d: %v", i, err)
		}
	}
	if err := e.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func compare(e engine.Engine, f *follower) error {
	b, err := e.Read(context.Background(), []channel.Name{f.name}, message.Position{}, engine.Limit{Messages: 1 << 20, Bytes: 1 << 30})
	if err != nil {
		return err
	}
	var want []message.Offset
	for i := range b.Messages {
		want = append(want, b.Messages[i].Offset)
	}
	if !slices.Equal(f.got, want) {
		return fmt.Errorf("got %v of %s, want %v", f.got, f.name, want)
	}
	return nil
}
