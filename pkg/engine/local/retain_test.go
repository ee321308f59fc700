package local

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// upkeep does what the sequencer does every second, and waits for it.
func (e *Engine) upkeep(t testing.TB) {
	t.Helper()
	if err := e.call(t.Context(), e.tickNow); err != nil {
		t.Fatal(err)
	}
}

// tickNow is a tick that leaves nothing for the next.
func (e *Engine) tickNow() {
	e.seq.upkeep = pace{}
	e.tick()
}

func countFiles(t testing.TB, mem *vfs.Mem, ext string) (n int) {
	t.Helper()
	names, _ := mem.List()
	for _, name := range names {
		if strings.HasSuffix(name, ext) {
			n++
		}
	}
	return n
}

func TestRetentionFreesTheDisk(t *testing.T) {
	mem := vfs.NewMem()
	rules := func(ch channel.Name) engine.Rule {
		if ch == "/keep/all" {
			return engine.Rule{}
		}
		return engine.Rule{Messages: 10}
	}
	opts := Options{FS: mem, Rules: rules, SegmentSize: 16 << 10, checkpointEvery: 4 << 10, Grace: -1}
	var kept []string
	most := 0
	for run := range 4 {
		e := open(t, opts)
		for i := range 600 {
			publish(t, e, "/a/b", fmt.Sprintf("%d.%d %0100d", run, i, 0))
			if i%150 == 0 {
				kept = append(kept, fmt.Sprintf("kept %d.%d", run, i))
				publish(t, e, "/keep/all", kept[len(kept)-1])
			}
			if i%20 == 0 {
				e.upkeep(t)
			}
		}
		// What is removed is removed behind the publishes' back: give it its time.
		for range 1000 {
			if countFiles(t, mem, ".seg") <= 20 {
				break
			}
			e.upkeep(t)
			time.Sleep(5 * time.Millisecond)
		}
		most = max(most, countFiles(t, mem, ".seg"))
		texts, _ := readAll(t, e, "/a/b", message.Position{})
		if len(texts) != 10 || !strings.HasPrefix(texts[9], fmt.Sprintf("%d.599 ", run)) {
			t.Fatalf("run %d: got %d messages, the last %.10q", run, len(texts), texts[len(texts)-1])
		}
		texts, gaps := readAll(t, e, "/keep/all", message.Position{Epoch: e.epoch, Offset: 1})
		if fmt.Sprint(texts) != fmt.Sprint(kept) || len(gaps) > 0 {
			t.Fatalf("run %d: kept %v (gaps %v), want %v", run, texts, gaps, kept)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if most > 20 { // 2,400 messages of 250 bytes would fill 40
		t.Errorf("there were up to %d segments", most)
	}
}
