package local

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// together has the sequencer take all that f asks for at once.
func together(t *testing.T, e *Engine, f func()) {
	t.Helper()
	begun, asked := make(chan struct{}), make(chan struct{})
	if err := e.queue.put(op{call: func() { close(begun); <-asked }}); err != nil {
		t.Fatal(err)
	}
	<-begun
	f()
	close(asked)
}

// Publishers that leave the sequencer nothing but work keep it from nothing: what
// is to be done every second is done.
func TestUpkeepUnderLoad(t *testing.T) {
	mem := vfs.NewMem()
	e := open(t, Options{FS: mem, checkpointEvery: 1})
	var stop atomic.Bool
	stopped := make(chan struct{})
	msgs := []message.Message{{Channel: "/a/b", Data: []byte("x")}}
	var next func([]engine.Receipt, error)
	next = func([]engine.Receipt, error) { // the queue is never empty when it is looked at
		if stop.Load() {
			close(stopped)
			return
		}
		e.Submit(msgs, next)
	}
	e.Submit(msgs, next)
	begin := time.Now()
	for mem.Bytes("checkpoint.a") == nil && time.Since(begin) < 20*time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	taken := mem.Bytes("checkpoint.a") != nil
	stop.Store(true)
	<-stopped
	if !taken {
		t.Error("no checkpoint was taken")
	}
}

// When the log failed while it did something of its own, what is asked for then is
// refused, definitely: it was not written, and is not there afterwards.
func TestSaveWhileTheLogFails(t *testing.T) {
	mem := vfs.NewMem()
	var fails atomic.Bool
	fault := &vfs.Fault{FS: mem, Hook: func(op vfs.Op) (int, error) {
		if fails.Load() && op.Kind == "sync" && strings.HasSuffix(op.Name, ".seg") {
			return 0, syscall.EIO
		}
		return 0, nil
	}}
	opts := Options{FS: fault, SegmentSize: 4 << 10, checkpointEvery: 1, Grace: -1, Rules: func(channel.Name) engine.Rule { return engine.Rule{Messages: 1} }}
	e := open(t, opts)
	key := engine.SessionKey{1}
	// Until something is to be removed, which it says in a batch. Checkpoints, which come
	// before that, are written behind our back.
	for end := time.Now().Add(time.Minute); e.Status().Refusing == nil && time.Now().Before(end); {
		fails.Store(false)
		publish(t, e, "/a/b", fmt.Sprintf("%0100d", 0))
		fails.Store(true)
		e.upkeep(t)
	}
	if e.Status().Refusing == nil {
		t.Fatal("the log did not fail by itself")
	}
	saved := make(chan error, 1)
	e.SaveSession(oneSubscription(key, time.Hour), func(err error) { saved <- err })
	err := <-saved
	fails.Store(false)
	e.upkeep(t)
	if err := e.Status().Refusing; err != nil {
		t.Fatal(err)
	}
	_, there := cursor(t, e, key)
	if message.CodeOf(err) != message.Unavailable || there {
		t.Errorf("the save: %v; then the session is there: %v", err, there)
	}
	save(t, e, oneSubscription(key, time.Hour))
	fault.PowerOff()
	_ = e.Close(t.Context())
	opts.FS = mem.Crash(rand.New(rand.NewPCG(1, 1)), 0)
	if _, there := cursor(t, open(t, opts), key); !there {
		t.Error("a session that was saved is gone")
	}
}

// Of one batch in which the disk turns out to be full, messages are refused and
// the rest is stored.
func TestSaveWhenTheDiskIsFull(t *testing.T) {
	disk := tight(vfs.NewMem(), "")
	e := open(t, tightOptions(disk))
	disk.low.Store(true)
	key := engine.SessionKey{1}
	for e.Status().Refusing == nil {
		published, saved := make(chan error, 1), make(chan error, 1)
		together(t, e, func() {
			m := message.Message{Channel: "/a/b", Data: make([]byte, 500)}
			e.Submit([]message.Message{m}, func(_ []engine.Receipt, err error) { published <- err })
			e.SaveSession(oneSubscription(key, time.Hour), func(err error) { saved <- err })
		})
		if err := <-saved; err != nil {
			t.Fatalf("the save: %v", err)
		}
		if err := <-published; err != nil && message.CodeOf(err) != message.Unavailable {
			t.Fatalf("the publish: %v", err)
		}
	}
	if _, there := cursor(t, e, key); !there {
		t.Error("the session is not there")
	}
}

// widest is a file system that notes the longest write.
type widest struct {
	vfs.FS
	most *atomic.Int64
}

func (w widest) Create(name string) (vfs.File, error) {
	f, err := w.FS.Create(name)
	return widestFile{f, w.most}, err
}

type widestFile struct {
	vfs.File
	most *atomic.Int64
}

func (f widestFile) WriteAt(p []byte, off int64) (int, error) {
	f.most.Store(max(f.most.Load(), int64(len(p))))
	return f.File.WriteAt(p, off)
}

// However many cursors move at once, a batch stays bounded, and all are stored.
func TestMovesOfManySessions(t *testing.T) {
	const sessions, above = 5, 300_000
	mem := vfs.NewMem()
	var most atomic.Int64
	fs := widest{mem, &most}
	e := open(t, Options{FS: fs})
	at := engine.Cursor{Position: message.Position{Epoch: e.epoch, Offset: 1}}
	for i := range above {
		at.Above = append(at.Above, message.Offset(uint64(i+1)<<43)) // seven bytes each on disk
	}
	for i := range sessions {
		save(t, e, oneSubscription(engine.SessionKey{byte(i)}, time.Hour))
	}
	most.Store(0)
	together(t, e, func() {
		for i := range sessions {
			e.MoveCursors([]engine.CursorMove{{Key: engine.SessionKey{byte(i)}, Channel: "/a/b", Cursor: at}})
		}
	})
	e.upkeep(t)
	if n := most.Load(); n > 8<<20 {
		t.Errorf("a batch had %d bytes", n)
	}
	e = open(t, Options{FS: mem.Crash(rand.New(rand.NewPCG(1, 1)), 0)})
	for i := range sessions {
		s, ok, err := e.Session(t.Context(), engine.SessionKey{byte(i)})
		if err != nil || !ok || len(s.Subscriptions[0].Cursor.Above) != above {
			t.Errorf("session %d: there %v, %v", i, ok, err)
		}
	}
}

// Rules change, channels are read and messages come, all at the same time.
func TestRulesChangeMeanwhile(t *testing.T) {
	e := open(t, Options{FS: vfs.NewMem(), SegmentSize: 64 << 10})
	for i := range 200 {
		name := channel.Name(fmt.Sprintf("/a/%d", i))
		var all sync.WaitGroup
		all.Go(func() {
			for j := range 4 {
				e.SetRules(func(channel.Name) engine.Rule { return engine.Rule{Memory: j%2 == 0, Age: time.Hour, Messages: 10} })
			}
		})
		all.Go(func() {
			for range 4 {
				publish(t, e, name, "x")
			}
		})
		for range 8 {
			if _, err := e.Read(t.Context(), []channel.Name{name}, message.Position{}, engine.Limit{}); err != nil {
				t.Error(err)
			}
		}
		all.Wait()
	}
}

// Publishes that come while the engine closes are answered.
func TestCloseMeanwhile(t *testing.T) {
	for range 20 {
		e := open(t, Options{FS: vfs.NewMem(), SegmentSize: 64 << 10})
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					_, err := engine.Publish(t.Context(), e, message.Message{Channel: "/a/b"})
					if message.CodeOf(err) == message.Unavailable {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		all.Wait()
	}
}
