package local

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// TestProbe: it answers for as long as the sequencer turns.
func TestProbe(t *testing.T) {
	var stuck atomic.Bool
	release := make(chan struct{})
	e := open(t, Options{FS: vfs.NewMem(), SegmentSize: 8 << 10, Now: func() time.Time {
		if stuck.Load() {
			<-release
		}
		return time.Now()
	}})
	if err := e.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	stuck.Store(true)
	over, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := e.Probe(over); err == nil {
		t.Error("the sequencer hangs, and gives a sign of life")
	}
	stuck.Store(false)
	close(release)
	if err := e.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}
