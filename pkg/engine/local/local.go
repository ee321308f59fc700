package local

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// An Engine is the embedded engine. One goroutine, the sequencer, does all that
// changes something; Close ends it.
type Engine struct {
	opts  Options
	log   logrus.FieldLogger
	epoch message.Epoch                // of this run; does not change
	runs  map[message.Epoch]seglog.Run // does not change
	first message.Offset               // of this run
	seg   *seglog.Log
	clock *clock

	queue queue
	tails tails
	wg    sync.WaitGroup

	// The sequencer's; see sequencer.go.
	seq sequencer

	mu        sync.RWMutex // guards what readers see
	channels  map[channel.Name]*channelState
	rules     func(channel.Name) engine.Rule
	visible   message.Offset
	meter     meter
	forgotten message.Offset // channels that end at or before this may be unknown

	// latest is the greatest time that was stored, or may be. Any goroutine
	// raises it; see time.
	latest atomic.Int64

	metrics metrics

	refusing atomic.Pointer[message.Error]
	// corrupt is set once a read found damage; the engine then serves nothing.
	corrupt atomic.Pointer[message.Error]
}

var (
	_ engine.Engine   = (*Engine)(nil)
	_ engine.Recaller = (*Engine)(nil)
)

// A channelState is what is known of one channel. Engine.mu guards it, but for
// tip and toDisk, which are the sequencer's.
type channelState struct {
	name    channel.Name
	rule    engine.Rule
	stream  *seglog.Stream // its messages on disk
	ring    *ring          // those in memory; nil if it never had any
	last    message.Offset // newest visible
	stored  message.Offset // newest visible on disk
	counted int64          // of what is stored, in the application's sum
	gone    message.Offset // everything up to here is gone, besides what the stream says
	tip     message.Offset // newest that has an offset
	toDisk  message.Offset // newest of these that goes to the disk, or see before
}

// before is what the next record on disk has as the one before it: nothing up to
// there is left but what the stream has. So it is told to the next start that a
// channel of that name was forgotten.
func (c *channelState) before() message.Offset { return max(c.stored, c.gone) }

// Open opens the engine in a folder, or makes one. A *seglog.CorruptError in the
// error's chain says that stored data is damaged: nothing was changed. On a full
// disk it opens what is there, and refuses publishes until there is room.
func Open(opts Options) (*Engine, error) {
	if err := opts.defaults(); err != nil {
		return nil, err
	}
	if opts.FS == nil {
		dir, err := vfs.OpenDir(opts.Dir)
		if err != nil {
			return nil, fmt.Errorf("open the engine's folder: %w", err)
		}
		opts.FS = dir
	}
	e := &Engine{
		opts: opts, log: opts.Logger, clock: newClock(&opts), rules: opts.Rules, metrics: newMetrics(),
		channels: map[channel.Name]*channelState{}, runs: map[message.Epoch]seglog.Run{},
	}
	seg, err := seglog.Open(seglog.Options{
		FS: opts.FS, Epoch: uint64(message.NewEpoch()), Logger: opts.Logger,
		SegmentSize: uint32(opts.SegmentSize), MinFree: uint64(opts.MinFree), VerifyBytes: opts.VerifyBytes,
	})
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("open the engine: another daemon works in this folder: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the engine: %w", err)
	}
	e.seg = seg
	if err := e.restore(); err != nil {
		seg.Close()
		return nil, fmt.Errorf("open the engine: %w", err)
	}
	if err := seg.Scarce(); err != nil {
		e.refuse(full(err))
	}
	e.queue.init()
	e.seq.closed = make(chan struct{})
	e.wg.Go(e.run)
	return e, nil
}

// restore builds what is derived from the log.
func (e *Engine) restore() error {
	e.learnRuns(e.seg.Runs())
	e.seq.init(e)
	if err := e.seg.Restore(e.restoreCheckpoint, e.restoreRecord); err != nil {
		return err
	}
	e.clock.begin(e.latest.Load(), e.seq.keys.newest())
	e.visible = message.Offset(e.seg.Ceiling())
	e.seq.next = e.visible + 1
	for _, s := range e.seg.Streams() {
		c := e.channel(channel.Name(s.Key()))
		c.stored = max(c.stored, message.Offset(s.Last()))
	}
	for _, c := range e.channels {
		if c.stored > message.Offset(c.stream.Last()) {
			c.gone = max(c.gone, c.stored)
		}
		c.last, c.tip = c.stored, c.stored
		c.toDisk = c.before()
		e.trim(c)
	}
	e.seq.keys.forget(e.look().due())
	return nil
}

// learnRuns takes down the runs, the current one last. Before any of them there may have
// been starts that found no room for a run of their own: what they told of is where the
// next one begins.
func (e *Engine) learnRuns(runs []seglog.Run) {
	for i := 1; i < len(runs); i++ {
		next := runs[i].First
		interim := runs[i-1].Interim()
		e.runs[message.Epoch(interim)] = seglog.Run{Epoch: interim, First: next, Last: next}
	}
	for _, r := range runs { // also such as began late, when there was room
		e.runs[message.Epoch(r.Epoch)] = r
		e.epoch, e.first = message.Epoch(r.Epoch), message.Offset(r.First)
	}
}

func (e *Engine) restoreRecord(r *seglog.Record) error {
	e.notBefore(r.Time)
	switch r.Type {
	case typeMessage, typeAfter:
		return e.restoreMessage(r)
	case typeSession, typeDrop, typeMoves:
		return e.seq.sessions.restoreRecord(e, r)
	}
	return fmt.Errorf("record of type %d: %w", r.Type, errRecord)
}

func (e *Engine) restoreMessage(r *seglog.Record) error {
	c := e.channel(channel.Name(r.Key))
	c.stored = max(c.stored, message.Offset(r.Offset))
	m := message.Message{Channel: c.name}
	if err := decodeMessage(r, &m); err != nil {
		return err
	}
	if m.Key != "" {
		e.seq.keys.forget(0) // by count: how old it is the clock says, later
		e.seq.keys.put(scopeOf(&m, m.Key), keyed{contentOf(&m), message.Offset(r.Offset), r.Time, false})
	}
	return nil
}

// channel returns the state of a channel, a new one if it is not known. Engine.mu
// is held, or nobody else is there yet.
func (e *Engine) channel(name channel.Name) *channelState {
	c := e.channels[name]
	if c == nil {
		c = &channelState{name: name, rule: e.rules(name), stream: e.seg.Stream(string(name)), gone: e.forgotten, toDisk: e.forgotten}
		e.channels[name] = c
	}
	return c
}

// SetRules implements engine.Engine.
func (e *Engine) SetRules(rules func(channel.Name) engine.Rule) {
	e.mu.Lock()
	e.rules = rules
	all := make([]*channelState, 0, len(e.channels))
	for name, c := range e.channels {
		c.rule = rules(name)
		all = append(all, c)
	}
	e.mu.Unlock()
	for _, c := range all {
		e.trim(c)
	}
}

// Status implements engine.Engine.
func (e *Engine) Status() engine.Status {
	e.mu.RLock()
	defer e.mu.RUnlock()
	st := engine.Status{Epoch: e.epoch, Visible: e.visible, Time: e.clock.look().latest}
	if err := e.refused(); err != nil {
		st.Refusing = err
	}
	return st
}

// refused returns why publishes are refused, nil if they are not. Damage is for good.
func (e *Engine) refused() *message.Error {
	if err := e.corrupt.Load(); err != nil {
		return err
	}
	return e.refusing.Load()
}

// Tip implements engine.Engine. It always knows.
func (e *Engine) Tip(ch channel.Name) (engine.Tip, bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	tip := engine.Tip{Visible: message.Position{Epoch: e.epoch, Offset: e.visible}}
	if c := e.channels[ch]; c != nil {
		tip.Last = c.last
	}
	return tip, true
}

// Close implements engine.Engine.
func (e *Engine) Close(ctx context.Context) error {
	e.queue.close()
	select {
	case <-e.seq.closed:
	case <-ctx.Done():
		return fmt.Errorf("close the engine: %w", ctx.Err())
	}
	e.wg.Wait()
	return e.seq.closeErr
}

// time returns the time to store: the clock's, but never less than before, also in an
// earlier run. A session that is saved after the clock was set back would else be past
// its TTL when it is set right.
func (e *Engine) time() int64 { return e.notBefore(e.clock.look().latest) }

// notBefore raises the latest time to t, and returns it.
func (e *Engine) notBefore(t int64) int64 {
	for {
		latest := e.latest.Load()
		if t <= latest {
			return latest
		}
		if e.latest.CompareAndSwap(latest, t) {
			return t
		}
	}
}

func milliseconds(d time.Duration) int64 { return d.Milliseconds() }
