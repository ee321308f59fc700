package hub_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// A round gives each live subscriber all that is new on its channel in one run,
// however many batches there were.
func TestRound(t *testing.T) {
	w := newWorld(t, 1)
	a, b, c := w.live(0, "/a"), w.live(0, "/a"), w.live(0, "/c")
	w.commit(10, "/a", "/b", "/c", "/a")
	w.commit(10, "/b")
	w.commit(10, "/a")
	w.turn()
	a.want(1, 4, 6)
	b.want(1, 4, 6)
	c.want(3)
	if a.runs != 1 || b.runs != 1 || c.runs != 1 {
		t.Errorf("%d, %d and %d runs, want one each", a.runs, b.runs, c.runs)
	}
	w.turn()
	w.commit(10, "/b", "/a")
	w.turn()
	a.want(1, 4, 6, 8)
	c.want(3)
}

// A shard that wants none of a batch's channels is not even woken, and that
// costs no memory.
func TestUnwantedChannelsCostNothing(t *testing.T) {
	w := newWorld(t, 3)
	a, c := w.live(0, "/a"), w.live(2, "/c")
	w.commit(10, "/x")
	w.commit(10, "/a", "/x")
	w.commit(10, "/a", "/c")
	for i, want := range []int{2, 0, 1} {
		if n := w.loops[i].posts; n != want {
			t.Errorf("loop %d was posted to %d times, want %d", i, n, want)
		}
	}
	w.turn()
	a.want(2, 4)
	c.want(5)
	a.shard.Leave(&a.Subscription)
	a.shard.Leave(&a.Subscription)
	batch := engine.Batch{Messages: []message.Message{{Channel: "/a", Offset: 6}, {Channel: "/x", Offset: 7}}}
	if n := testing.AllocsPerRun(100, func() { w.hub.Commit(batch) }); n != 0 || w.loops[0].posts != 2 {
		t.Errorf("%v allocations, %d posts after the last subscriber has left", n, w.loops[0].posts)
	}
}

// A hub has no more shards than bits.
func TestMaxShards(t *testing.T) {
	w := newWorld(t, hub.MaxShards+3)
	if n := len(w.hub.Shards()); n != hub.MaxShards {
		t.Fatalf("%d shards", n)
	}
	last := w.live(hub.MaxShards-1, "/a")
	w.commit(10, "/a")
	w.turn()
	last.want(1)
}

// Each format of a channel is framed for itself, and goes when its last
// subscriber does.
func TestFormats(t *testing.T) {
	w := newWorld(t, 1)
	a, b := w.join(0, "/a", 1, 0), w.join(0, "/a", 2, 0)
	a.catchUp()
	b.catchUp()
	w.commit(10, "/a")
	w.turn()
	a.shard.Leave(&a.Subscription)
	w.commit(10, "/a")
	w.turn()
	a.want(1)
	b.want(1, 2)
	if a.Joined() || a.Live() || !b.Joined() || !b.Live() {
		t.Error("the wrong one has left")
	}
}

// Who takes nothing is live no more, and goes on where it stands.
func TestRefusedRunIsBacklog(t *testing.T) {
	w := newWorld(t, 1)
	slow, fast := w.live(0, "/a"), w.live(0, "/a")
	slow.refuse = true
	for range 5 {
		w.commit(10, "/a")
		w.turn()
	}
	fast.want(1, 2, 3, 4, 5)
	slow.want()
	w.shard().Tick()
	if n := w.hub.Lagging(); n != 1 {
		t.Errorf("%d lag, want the slow one", n)
	}
	if slow.Live() || slow.shard.Resume(&slow.Subscription) {
		t.Fatal("it is live and lacks messages")
	}
	slow.refuse = false
	w.commit(10, "/a")
	w.loops[0].run(1) // taken in, but the round is still to come
	slow.catchUp()
	slow.want(1, 2, 3, 4, 5, 6)
	w.commit(10, "/a")
	w.turn()
	slow.want(1, 2, 3, 4, 5, 6, 7)
	w.shard().Tick()
	if n := w.hub.Lagging(); n != 0 {
		t.Errorf("%d lag, want none", n)
	}
	fast.want(1, 2, 3, 4, 5, 6, 7)
}

// Of those who come back at once, one reads the log: the others find what it read
// in the shard's memory, with what came since.
func TestWhatOneReadServesTheOthers(t *testing.T) {
	w := newWorld(t, 1)
	for range 5 {
		w.commit(10, "/a")
	}
	w.turn()
	first, second := w.join(0, "/a", 1, 2), w.join(0, "/a", 1, 3)
	if _, ok := second.shard.Backlog(&second.Subscription, 10, 1000); ok {
		t.Fatal("a new topic has what came before it")
	}
	w.commit(10, "/a")
	w.loops[0].run(1) // taken in, but the round is still to come
	part := w.framed("/a", 1, []message.Offset{3, 4})
	first.shard.Fill(&first.Subscription, 2, part, 4)
	if _, ok := second.shard.Backlog(&second.Subscription, 10, 1000); ok {
		t.Fatal("what does not reach the shard's memory leaves a hole")
	}
	first.shard.Fill(&first.Subscription, 2, w.framed("/a", 1, []message.Offset{3, 4, 5, 6}), 6)
	first.catchUp()
	w.turn()
	second.catchUp()
	first.want(3, 4, 5, 6)
	second.want(4, 5, 6)
	late := w.join(0, "/a", 1, 1)
	if _, ok := late.shard.Backlog(&late.Subscription, 10, 1000); ok {
		t.Fatal("nobody has read that far back")
	}
}

// What is larger than the memory of a topic stays in the log.
func TestALargePageIsNotKept(t *testing.T) {
	w := newWorld(t, 1)
	w.commit(10, "/a")
	w.turn()
	r := w.join(0, "/a", 1, 0)
	large := message.Message{Channel: "/a", Offset: 1, Data: make([]byte, 1<<20)}
	frames := plain(1).Append(nil, &large, false)
	r.shard.Fill(&r.Subscription, 0, hub.Run{Frames: frames, Ends: []hub.End{{Offset: 1, At: len(frames)}}}, 1)
	if _, ok := r.shard.Backlog(&r.Subscription, 10, 1000); ok {
		t.Fatal("it was kept")
	}
}

// What a new topic does not have is read elsewhere: all that was visible before.
// What is on its way to the shard and was visible before is not taken twice.
func TestJoinBetweenCommitAndTurn(t *testing.T) {
	w := newWorld(t, 1)
	other := w.live(0, "/a")
	w.commit(10, "/a")
	other.shard.Leave(&other.Subscription)
	w.commit(10, "/a") // nobody wants it
	now, past := w.live(0, "/a"), w.join(0, "/a", 1, 1)
	if _, ok := past.shard.Backlog(&past.Subscription, 1, 1); ok || past.shard.Resume(&past.Subscription) {
		t.Fatal("it has what was committed before anybody wanted it")
	}
	if past.Through() != 2 {
		t.Fatalf("through %d", past.Through())
	}
	w.turn()
	past.Sent = 2 // as by a read of the log
	past.catchUp()
	w.commit(10, "/a")
	w.turn()
	now.want(3)
	past.want(3)
}

// Where the engine cannot tell how a channel ends, or knows nothing of it, what
// came before the topic has to be read: it may have a gap to tell of.
func TestUnknownTipIsRead(t *testing.T) {
	for _, known := range []bool{true, false} {
		w := newWorld(t, 1)
		w.commit(10, "/other", "/other", "/other")
		r := &reader{t: t, shard: w.shard(), name: "/a", format: 1}
		r.Subscriber = r
		r.Sent = 2
		r.shard.Join(&r.Subscription, "/a", r.format, func() (engine.Tip, bool) {
			return engine.Tip{Visible: message.Position{Epoch: 1, Offset: 3}}, known
		})
		if _, ok := r.shard.Backlog(&r.Subscription, 1, 1); ok {
			t.Errorf("known=%v: the shard vouches for what it cannot know", known)
		}
		r.Sent = 3
		r.catchUp()
	}
}

// A read of the engine may be ahead of the shard: what it brought is not
// delivered again.
func TestReadAheadOfTheShard(t *testing.T) {
	w := newWorld(t, 1)
	ahead, half, live := w.live(0, "/a"), w.live(0, "/a"), w.live(0, "/a")
	for range 4 {
		w.commit(10, "/a")
	}
	ahead.Sent, half.Sent = 4, 2
	w.turn()
	ahead.want()
	half.want(3, 4)
	live.want(1, 2, 3, 4)
	if ahead.Sent != 4 || half.Sent != 4 || live.Sent != 4 {
		t.Errorf("they stand at %d, %d and %d", ahead.Sent, half.Sent, live.Sent)
	}
}

// Subscribers may join and leave while a round is under way, themselves and
// others: nobody is left out, nobody is served twice.
func TestChangesDuringARound(t *testing.T) {
	for actor := range 8 {
		w := newWorld(t, 1)
		var readers []*reader
		for range 8 {
			readers = append(readers, w.live(0, "/a"))
		}
		var joined *reader
		readers[actor].during = func() {
			readers[actor].during = nil
			for _, i := range []int{1, 4, 6, 7} {
				if i != actor {
					w.shard().Leave(&readers[i].Subscription)
				}
			}
			joined = w.join(0, "/a", 1, 0)
			joined.catchUp()
		}
		w.commit(10, "/a")
		w.turn()
		w.commit(10, "/a")
		w.turn()
		joined.want(1, 2)
		for i, r := range readers {
			if r.Joined() {
				r.want(1, 2)
			} else if len(r.got) > 1 {
				t.Errorf("reader %d got %v though it has left", i, r.got)
			}
		}
	}
}

// The last one may leave from within its own delivery.
func TestLeaveDuringOwnDelivery(t *testing.T) {
	w := newWorld(t, 1)
	a, b := w.live(0, "/a"), w.live(0, "/b")
	a.during, a.refuse = func() { a.shard.Leave(&a.Subscription) }, true
	w.commit(10, "/a", "/b")
	w.turn()
	w.commit(10, "/a", "/b")
	w.turn()
	a.want()
	b.want(2, 4)
}

// A subscriber that panics ends its round, and no other.
func TestPanicInARound(t *testing.T) {
	w := newWorld(t, 1)
	bad, good := w.live(0, "/a"), w.live(0, "/b")
	bad.during = func() { panic("as asked") }
	round := func() (v any) {
		defer func() { v = recover() }()
		w.turn()
		return nil
	}
	w.commit(10, "/a", "/b")
	if round() == nil {
		t.Fatal("no panic")
	}
	bad.during = nil
	w.commit(10, "/b")
	if v := round(); v != nil {
		t.Fatal("once more:", v)
	}
	good.want(2, 3)
	w.commit(10, "/a")
	w.turn()
	bad.want(4)
}

// The ring keeps the newest frames, and what it evicts has to be read elsewhere.
// Slices that were handed out stay as they were.
func TestRingEvicts(t *testing.T) {
	w := newWorld(t, 1)
	newest := w.live(0, "/a")
	past := w.join(0, "/a", 1, 0)
	type kept struct {
		run    hub.Run
		frames []byte
		ends   []hub.End
	}
	var all []kept
	const n = 1000 // far more than fits
	for range n {
		w.commit(1000, "/a")
		w.loops[0].run(1)
		run, _ := w.shard().Backlog(&newest.Subscription, 10, 1<<20)
		all = append(all, kept{run, bytes.Clone(run.Frames), slices.Clone(run.Ends)})
		w.shard().Round()
	}
	for _, k := range all {
		if !bytes.Equal(k.run.Frames, k.frames) || !slices.Equal(k.run.Ends, k.ends) {
			t.Fatal("a run has changed after it was handed out")
		}
	}
	if _, ok := past.shard.Backlog(&past.Subscription, 1, 1); ok {
		t.Error("the oldest messages are still there")
	}
	if bytes := held(w.join(0, "/a", 1, 0), n); bytes < 64<<10 || bytes > 256<<10 {
		t.Errorf("the ring holds %d bytes", bytes)
	}
}

// held returns how many bytes of frames the shard has for the reader's channel,
// which ends with message last.
func held(r *reader, last message.Offset) (bytes int) {
	for r.Sent = last; r.Sent > 0; r.Sent-- {
		run, ok := r.shard.Backlog(&r.Subscription, int(last), 1<<40)
		if !ok {
			break
		}
		bytes = len(run.Frames)
	}
	return bytes
}

// A turn that brings more than a ring holds is delivered whole; the next turns
// give the memory back.
func TestATurnBeyondTheRing(t *testing.T) {
	w := newWorld(t, 1)
	r := w.live(0, "/a")
	var want []message.Offset
	turn := func(n int) {
		for range n {
			w.commit(4000, "/a")
			want = append(want, w.last())
		}
		w.turn()
	}
	turn(3)
	turn(200)
	r.want(want...)
	if r.runs != 2 {
		t.Errorf("%d runs", r.runs)
	}
	for range 10 {
		turn(1)
	}
	r.want(want...)
	if n := held(w.join(0, "/a", 1, 0), w.last()); n > 256<<10 {
		t.Errorf("the ring still holds %d bytes", n)
	}
}

// Frames are given back when they are old, whether messages go on coming or not;
// who still lacks them reads elsewhere.
func TestRingAges(t *testing.T) {
	w := newWorld(t, 1)
	live := w.live(0, "/a")
	quiet := w.live(0, "/quiet")
	w.commit(100, "/quiet")
	const ticks = 200
	for range ticks {
		w.commit(100, "/a")
		w.turn()
		w.shard().Tick()
	}
	if n := held(w.join(0, "/a", 1, 0), w.last()) / (header + 100); n < 10 || n > 40 {
		t.Errorf("the frames of %d ticks are held", n)
	}
	if n := held(w.join(0, "/quiet", 1, 0), w.last()); n != 0 {
		t.Errorf("the quiet channel holds %d bytes", n)
	}
	w.commit(100, "/a", "/quiet")
	w.turn()
	live.want(w.of("/a", 0)...)
	quiet.want(w.of("/quiet", 0)...)
}

// Ticks may come between a commit and its round.
func TestTickBeforeTheRound(t *testing.T) {
	w := newWorld(t, 1)
	r := w.live(0, "/a")
	for range 100 {
		w.commit(100, "/a", "/a")
		w.loops[0].run(1)
		for range 7 {
			w.shard().Tick()
		}
		w.shard().Round()
	}
	r.want(w.of("/a", 0)...)
}

// Topics are as independent as their channels.
func TestManyChannels(t *testing.T) {
	w := newWorld(t, 2)
	var readers []*reader
	var names []channel.Name
	for i := range 100 {
		names = append(names, numbered("/n", i))
		readers = append(readers, w.live(i%2, names[i]))
	}
	for i := range 10 {
		w.commit(10, names[i:]...)
	}
	w.turn()
	for i, r := range readers {
		r.want(w.of(names[i], 0)...)
	}
}
