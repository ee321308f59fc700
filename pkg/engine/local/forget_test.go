package local

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// Channels of which nothing is left are forgotten, the oldest first, when there are
// too many of them; those that have something are not. Who was on one is told that
// it misses something, in this run and after a crash, also when the channel came
// back and what it had had is removed from the disk.
func TestChannelsAreForgotten(t *testing.T) {
	const segment = 4 << 10
	clock := newHandClock()
	mem := vfs.NewMem()
	fault := &vfs.Fault{FS: mem}
	opts := Options{
		FS: fault, Now: clock.now, ChannelCount: 3, SegmentSize: segment, checkpointEvery: segment, Grace: -1,
		Rules: func(ch channel.Name) engine.Rule {
			if ch == "/kept/a" || ch == "/kept/b" {
				return engine.Rule{}
			}
			return engine.Rule{Age: time.Minute}
		},
	}
	e := open(t, opts)
	at := message.Position{Epoch: e.epoch, Offset: publish(t, e, "/old/0", "read")}
	for range 10 {
		publish(t, e, "/old/0", "missed")
	}
	publish(t, e, "/kept/a", "kept")
	for i := range 10 {
		publish(t, e, channel.Name(fmt.Sprintf("/old/%d", 1+i)), "x")
	}
	for range 60 { // so that what is there can be removed: checkpoints know of it
		publish(t, e, "/kept/b", fmt.Sprintf("%0200d", 0))
		e.upkeep(t)
	}
	clock.pass(2 * time.Minute)
	for n := 0; n < 1000 && len(mem.Bytes("00000001.seg")) == segment; n++ { // it is rewritten behind our back
		e.upkeep(t)
		time.Sleep(time.Millisecond)
	}
	if len(mem.Bytes("00000001.seg")) == segment {
		t.Fatal("what was there is not removed from the disk")
	}
	if n := len(e.channels); n != 5 {
		t.Fatalf("%d channels are remembered, want 3 and the two that have something", n)
	}
	told := func(when string, want int) {
		t.Helper()
		texts, gaps := readAll(t, e, "/old/0", at)
		if len(texts) != want || len(gaps) != 1 || gaps[0].Reason != engine.Expired || gaps[0].After != at.Offset || gaps[0].To <= at.Offset {
			t.Errorf("%s: %v, gaps %v", when, texts, gaps)
		}
		if texts, gaps := readAll(t, e, "/kept/a", message.Position{}); len(texts) != 1 || len(gaps) > 0 {
			t.Errorf("%s: the other has %v, gaps %v", when, texts, gaps)
		}
	}
	told("forgotten", 0)
	publish(t, e, "/old/0", "it is back")
	told("back", 1)
	fault.PowerOff()
	_ = e.Close(context.Background())
	opts.FS = mem.Crash(rand.New(rand.NewPCG(1, 1)), 0)
	e = open(t, opts)
	told("after a crash", 1)
}
