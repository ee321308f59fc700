package local

import (
	"context"
	"encoding/gob"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// childVariable is set for a test binary that is to be a child: a process with an
// engine in it, which is there to be killed. It says what the child does wrong.
const childVariable = "ORBITD_TEST_CHILD"

// What a child does wrong.
const (
	nothing     = "nothing"
	writeBehind = "write-behind" // a batch is answered before it is written
)

// A request is what the parent asks of a child's engine, in the order in which the
// engine is to get it.
type request struct {
	ID   uint64
	Kind string // one of the methods of engine.Engine, "Open" or "Untail"
	Now  int64  // the clock
	// Rules are those that the child does not have yet.
	Rules map[channel.Name]engine.Rule

	Open     openRequest
	Messages []message.Message
	Names    []channel.Name
	After    message.Position
	Limit    engine.Limit
	Session  engine.Session
	Sessions []engine.Session
	Moves    []engine.CursorMove
}

type openRequest struct {
	Dir       string
	KeyWindow time.Duration
	KeyCount  int
}

// A response is a child's answer to the request of that ID, or one batch for the
// tail that the request asked for.
type response struct {
	ID       uint64
	Receipts []engine.Receipt
	Batch    engine.Batch
	Tip      engine.Tip
	Sessions []engine.Session
	Status   engine.Status
	OK       bool
	Err      *message.Error
}

// A child serves one parent. Its clock and rules are the parent's.
type child struct {
	fault string
	clock handClock
	rules sync.Map // channel.Name to engine.Rule
	tails map[uint64]func()
	calls atomic.Int32

	engine *Engine

	mu  sync.Mutex // guards out
	out *gob.Encoder
}

// beChild is the main function of a child. It ends when the parent closes the pipe,
// if it is not killed before.
func beChild(fault string) {
	c := &child{fault: fault, tails: map[uint64]func(){}, out: gob.NewEncoder(os.NewFile(4, "responses"))}
	in := gob.NewDecoder(os.NewFile(3, "requests"))
	c.answer(response{}) // it is there
	for {
		var r request
		if in.Decode(&r) != nil {
			return
		}
		c.clock.Store(r.Now)
		for name, rule := range r.Rules {
			c.rules.Store(name, rule)
		}
		c.do(&r)
	}
}

func (c *child) answer(r response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.out.Encode(r); err != nil {
		fmt.Fprintln(os.Stderr, "answer:", err)
	}
}

func (c *child) rule(ch channel.Name) engine.Rule {
	rule, _ := c.rules.Load(ch)
	r, _ := rule.(engine.Rule)
	return r
}

// wire returns err as it is sent: without its cause, but for its text.
func wire(err error) *message.Error {
	if err == nil {
		return nil
	}
	e := *message.AsError(err)
	e.Text, e.Cause = err.Error(), nil
	return &e
}

func (c *child) do(r *request) {
	ctx := context.Background()
	a := response{ID: r.ID, OK: true}
	var err error
	switch e := c.engine; r.Kind {
	case "Open":
		err = c.open(&r.Open)
		a.OK = err == nil
	case "Submit":
		if c.calls.Add(1)%8 == 0 { // do what is done every second more often
			_ = e.queue.put(op{call: e.tickNow})
		}
		e.SubmitSaving(r.Messages, r.Sessions, func(receipts []engine.Receipt, err error) {
			c.answer(response{ID: r.ID, Receipts: receipts, Err: wire(err)})
		})
		return
	case "SaveSession":
		e.SaveSession(r.Session, func(err error) { c.answer(response{ID: r.ID, Err: wire(err)}) })
		return
	case "DropSession":
		e.DropSession(r.Session.Key, func(err error) { c.answer(response{ID: r.ID, Err: wire(err)}) })
		return
	case "MoveCursors":
		e.MoveCursors(r.Moves)
		return
	case "Tail":
		c.tails[r.ID] = e.Tail(func(b engine.Batch) { c.answer(response{ID: r.ID, Batch: b}) })
		return
	case "Untail":
		c.tails[r.ID]()
	case "SetRules":
		e.SetRules(c.rule)
	case "Read":
		a.Batch, err = e.Read(ctx, r.Names, r.After, r.Limit)
	case "History":
		a.Batch, err = e.History(ctx, r.Names[0], r.After.Offset, r.Limit)
	case "Tip":
		a.Tip, a.OK = e.Tip(r.Names[0])
	case "Session":
		a.Sessions = make([]engine.Session, 1)
		a.Sessions[0], a.OK, err = e.Session(ctx, r.Session.Key)
	case "Sessions":
		err = e.Sessions(ctx, func(s engine.Session) bool { a.Sessions = append(a.Sessions, s); return true })
	case "Status":
		a.Status = e.Status()
		a.Err, a.Status.Refusing = wire(a.Status.Refusing), nil
	case "Close":
		err = e.Close(ctx)
	}
	if err != nil {
		a.Err = wire(err)
	}
	c.answer(a)
}

func (c *child) open(o *openRequest) error {
	fs, err := vfs.OpenDir(o.Dir)
	if err != nil {
		return err
	}
	if c.fault == writeBehind {
		fs = &lateFS{FS: fs}
	}
	c.engine, err = Open(Options{
		FS: fs, Now: c.clock.now, KeyWindow: o.KeyWindow, KeyCount: o.KeyCount, Rules: c.rule, SegmentSize: 4 << 10,
		checkpointEvery: 8 << 10, Grace: -1,
	})
	return err
}

// A lateFS writes batches a little later than it says. What is read from it is
// what it says.
type lateFS struct{ vfs.FS }

func (l *lateFS) Create(name string) (vfs.File, error) {
	f, err := l.FS.Create(name)
	return &lateFile{File: f}, err
}

type lateFile struct {
	vfs.File
	mu      sync.Mutex
	pending []lateWrite
}

type lateWrite struct {
	b   []byte
	off int64
}

func (f *lateFile) WriteAt(b []byte, off int64) (int, error) {
	if string(b[:min(4, len(b))]) != "OBAT" {
		return f.File.WriteAt(b, off)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = append(f.pending, lateWrite{append([]byte(nil), b...), off})
	return len(b), f.flush(2)
}

// flush writes all but the newest batches.
func (f *lateFile) flush(keep int) error {
	for len(f.pending) > keep {
		w := f.pending[0]
		f.pending = f.pending[1:]
		if _, err := f.File.WriteAt(w.b, w.off); err != nil {
			return err
		}
	}
	return nil
}

func (f *lateFile) ReadAt(b []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.flush(0); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, off)
}

func (f *lateFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.flush(0)
	return f.File.Close()
}
