package hub_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// A hand is a loop that a test turns by hand.
type hand struct {
	posted []func()
	posts  int // ever
}

func (h *hand) Post(f func()) {
	h.posted = append(h.posted, f)
	h.posts++
}

// run runs what was posted, up to n of it.
func (h *hand) run(n int) {
	n = min(n, len(h.posted))
	for _, f := range h.posted[:n] {
		f()
	}
	h.posted = h.posted[n:]
}

// plain is a format for tests: offset, previous, length and payload. Its value
// stands before each frame, so that formats are told apart.
type plain byte

const header = 1 + 8 + 8 + 4

func (p plain) Append(dst []byte, m *message.Message, _ bool) []byte {
	dst = append(dst, byte(p))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Offset))
	dst = binary.BigEndian.AppendUint64(dst, uint64(m.Previous))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(m.Data)))
	return append(dst, m.Data...)
}

// offsets takes a run apart and returns what is in it. Index and frames have to
// agree.
func offsets(t testing.TB, p plain, run hub.Run) (all []message.Offset) {
	t.Helper()
	b, at := run.Frames, run.Start
	for len(b) > 0 {
		if b[0] != byte(p) {
			t.Fatalf("a frame of format %d, want %d", b[0], p)
		}
		offset := message.Offset(binary.BigEndian.Uint64(b[1:]))
		size := header + int(binary.BigEndian.Uint32(b[17:]))
		at += size
		if end := run.Ends[len(all)]; end.Offset != offset || end.At != at {
			t.Fatalf("message %d ends at %d, the index says %v", offset, at, end)
		}
		all, b = append(all, offset), b[size:]
	}
	if len(all) != len(run.Ends) || len(all) == 0 || all[len(all)-1] != run.Last() {
		t.Fatalf("%d frames, %d in the index", len(all), len(run.Ends))
	}
	return all
}

// A world is a hub on loops that are turned by hand, and what was committed.
type world struct {
	t     testing.TB
	hub   *hub.Hub
	loops []*hand
	all   map[channel.Name][]message.Offset
	end   message.Offset
}

func newWorld(t testing.TB, loops int) *world {
	w := &world{t: t, all: map[channel.Name][]message.Offset{}}
	var posts []hub.Loop
	for range loops {
		w.loops = append(w.loops, &hand{})
		posts = append(posts, w.loops[len(w.loops)-1])
	}
	w.hub = hub.New(posts)
	return w
}

func (w *world) shard() *hub.Shard { return w.hub.Shards()[0] }

func (w *world) last() message.Offset { return w.end }

// zeros are the payload of all messages.
var zeros [64 << 10]byte

// commit commits one batch: a message of so many bytes on each channel.
func (w *world) commit(size int, names ...channel.Name) {
	var b engine.Batch
	for _, name := range names {
		previous := w.tip(name).Last
		w.end++
		w.all[name] = append(w.all[name], w.end)
		b.Messages = append(b.Messages, message.Message{Channel: name, Offset: w.end, Previous: previous, Data: zeros[:size]})
	}
	b.Through = w.end
	w.hub.Commit(b)
}

func (w *world) tip(name channel.Name) engine.Tip {
	tip := engine.Tip{Visible: message.Position{Epoch: 1, Offset: w.end}}
	if all := w.all[name]; len(all) > 0 {
		tip.Last = all[len(all)-1]
	}
	return tip
}

// of returns the offsets of a channel's messages after an offset.
func (w *world) of(name channel.Name, after message.Offset) []message.Offset {
	all := w.all[name]
	i, found := slices.BinarySearch(all, after)
	if found {
		i++
	}
	return all[i:]
}

// framed returns messages of a channel as a page of the log has them.
func (w *world) framed(name channel.Name, format plain, messages []message.Offset) (run hub.Run) {
	for _, offset := range messages {
		m := message.Message{Channel: name, Offset: offset, Data: zeros[:10]}
		run.Frames = format.Append(run.Frames, &m, false)
		run.Ends = append(run.Ends, hub.End{Offset: offset, At: len(run.Frames)})
	}
	return run
}

func (w *world) turnOne(i int) {
	w.loops[i].run(len(w.loops[i].posted))
	w.hub.Shards()[i].Round()
}

// turn is a turn of each loop.
func (w *world) turn() {
	for i := range w.hub.Shards() {
		w.turnOne(i)
	}
}

// A reader is a subscriber that notes what it gets.
type reader struct {
	hub.Subscription
	t      testing.TB
	shard  *hub.Shard
	name   channel.Name
	format plain

	got    []message.Offset
	runs   int
	refuse bool
	during func() // called by Deliver
}

// join makes a reader that stands at an offset, and is not live yet.
func (w *world) join(shard int, name channel.Name, format plain, at message.Offset) *reader {
	r := &reader{t: w.t, shard: w.hub.Shards()[shard], name: name, format: format}
	r.Subscriber = r
	r.Sent = at
	r.shard.Join(&r.Subscription, name, format, func() (engine.Tip, bool) { return w.tip(name), true })
	return r
}

// live makes a reader that is live from now on.
func (w *world) live(shard int, name channel.Name) *reader {
	w.t.Helper()
	r := w.join(shard, name, 1, w.last())
	if !r.shard.Resume(&r.Subscription) {
		w.t.Fatal("a subscription that starts now is not live")
	}
	return r
}

func (r *reader) Deliver(_ *hub.Subscription, run hub.Run) bool {
	if r.during != nil {
		r.during()
	}
	if r.refuse {
		return false
	}
	r.take(run)
	return true
}

func (r *reader) take(run hub.Run) {
	r.t.Helper()
	r.runs++
	r.got = append(r.got, offsets(r.t, r.format, run)...)
}

// catchUp takes what the shard has in memory, and goes live.
func (r *reader) catchUp() {
	r.t.Helper()
	for {
		run, ok := r.shard.Backlog(&r.Subscription, 3, 1000)
		switch {
		case !ok:
			r.t.Fatalf("the shard does not have what follows %d", r.Sent)
		case len(run.Ends) == 0:
			if !r.shard.Resume(&r.Subscription) {
				r.t.Fatal("there is no backlog, and it is not live")
			}
			return
		}
		r.take(run)
		r.Sent = run.Last()
	}
}

func (r *reader) want(want ...message.Offset) {
	r.t.Helper()
	if !slices.Equal(r.got, want) {
		r.t.Fatalf("%s got %v, want %v", r.name, r.got, want)
	}
}

func numbered(prefix string, i int) channel.Name { return channel.Name(fmt.Sprint(prefix, i)) }
