package local

import (
	"errors"
	"time"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog"
)

const (
	// tickEvery is how often what depends on time alone is looked at.
	tickEvery = time.Second
	// cursorDelay is how long a moved cursor waits for a commit to ride with.
	cursorDelay = 500 * time.Millisecond
	// commitBytes is about how much goes into one batch.
	commitBytes = 4 << 20
)

// A sequencer is the state of the one goroutine that gives offsets and writes.
// Nobody else touches it, but for closeErr after closed is closed.
type sequencer struct {
	next     message.Offset // to be given
	keys     *keyTable
	sessions *sessionTable
	commit   commit
	held     *commit // failed, and kept until it can be written elsewhere
	believed int     // of the clock, when keys were last compared with it
	upkeep   pace
	spare    []op

	saving    bool  // a checkpoint is being written
	unsaved   bool  // the last one could not be
	savedSize int64 // of the last checkpoint
	saved     chan error
	closed    chan struct{}
	closeErr  error
}

func (s *sequencer) init(e *Engine) {
	s.keys = newKeyTable(milliseconds(e.opts.KeyWindow), e.opts.KeyCount)
	s.sessions = newSessionTable()
	s.saved = make(chan error, 1)
}

// run is the sequencer.
func (e *Engine) run() {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	ride := time.NewTimer(cursorDelay)
	ride.Stop()
	for {
		select {
		case <-e.queue.wake:
			closing := e.work()
			if closing {
				e.finish()
				return
			}
			if e.seq.sessions.arm() {
				ride.Reset(cursorDelay)
			}
		case <-ride.C:
			e.flushCursors()
		case <-tick.C:
			e.tick()
		case err := <-e.seq.saved:
			e.checkpointDone(err)
		}
	}
}

// work does all that waits, in batches, and reports whether the engine is
// closing: then nothing more comes. What came meanwhile wakes the sequencer
// again; under load there is always something, and the ticks must have their turn.
func (e *Engine) work() (closing bool) {
	ops, closed := e.queue.take(e.seq.spare)
	for rest := ops; len(rest) > 0; {
		rest = e.step(rest)
	}
	e.seq.spare = ops
	return closed
}

// step makes one batch of the first ops and returns the others.
func (e *Engine) step(ops []op) []op {
	c := &e.seq.commit
	now := e.look()
	c.reset(e.notBefore(now.latest), now.latest)
	e.seq.keys.forget(now.due())
	if ops[0].call != nil {
		ops[0].call()
		return ops[1:]
	}
	c.expect(ops)
	n := 0
	for n < len(ops) && c.batch.Len() < commitBytes {
		o := &ops[n]
		if o.call != nil || o.moves != nil && len(c.then) > 0 {
			break // it is about what those before it make
		}
		n++
		e.stage(c, o)
	}
	if e.commitStaged(c) == again {
		return ops
	}
	return ops[n:]
}

// stage adds an op to the batch.
func (e *Engine) stage(c *commit, o *op) {
	switch {
	case o.submit != nil:
		e.stageSubmit(c, o.submit)
	case o.save != nil:
		e.stageSave(c, o)
	case o.drop != nil:
		e.stageDrop(c, o)
	default:
		e.seq.sessions.move(e, o.moves, o.at)
	}
}

// look looks at the clock. When it is believed again, no key was stored later than now,
// nor is one older than it may be.
func (e *Engine) look() look {
	l := e.clock.look()
	if l.believe != e.seq.believed {
		e.seq.believed = l.believe
		e.seq.keys.notAfter(l.wall)
		e.seq.keys.younger(l.jumped, l.ahead)
	}
	e.seq.keys.at(l.latest, e.latest.Load())
	return l
}

// An outcome is what became of a commit.
type outcome int

const (
	durable outcome = iota
	refused         // nobody will see it, or not yet
	again           // nothing was written and nobody answered: it is to be staged again
)

// commitStaged makes durable what is staged, shows it, and answers.
func (e *Engine) commitStaged(c *commit) outcome {
	failed := e.seg.Failed() != nil // then it leaves every batch alone
	err := e.store(c)
	switch {
	case err == nil:
		e.show(c)
		c.run()
		c.answer(nil)
		return durable
	case failed || e.seg.Failed() == nil:
		return e.notWritten(c, err)
	}
	e.refuse(failing(err))
	c.answer(message.Errorf(message.Unknown, "the disk failed while this was written; retry with the same key to settle it").Because(err))
	e.hold(c)
	return refused
}

// notWritten takes back a commit that the log did not take. When the disk has just
// turned out to be full, what does not go without room is refused by itself in the
// second attempt, and the rest, which may use the reserve, is stored.
func (e *Engine) notWritten(c *commit, err error) outcome {
	e.takeBack(c)
	first := e.refusing.Load() == nil
	switch {
	case errors.Is(err, seglog.ErrTooLarge):
		c.answer(message.Errorf(message.TooLarge, "this is too large to be stored").Because(err))
		return refused
	case errors.Is(err, seglog.ErrFull):
		e.refuse(full(err))
	default:
		e.refuse(failing(err))
	}
	if first && len(c.messages) > 0 {
		return again
	}
	c.answer(e.refusing.Load())
	return refused
}

// store writes what must be durable before the rest can be shown.
func (e *Engine) store(c *commit) error {
	if e.seq.next-1 > message.Offset(e.seg.Ceiling()) && !c.durable {
		c.ceiling = min(e.seq.next-1+ceilingBlock, message.MaxOffset)
		c.durable = true
	}
	if !c.durable {
		return nil
	}
	e.seq.sessions.ride(c)
	c.batch.Ceiling = max(uint64(e.seq.next-1), uint64(c.ceiling))
	begun := time.Now()
	err := e.seg.Append(&c.batch, !c.onDisk && c.ceiling == 0)
	e.metrics.commit(time.Since(begun), len(c.messages), err)
	return err
}

// flushCursors stores cursors that nothing came along to carry.
func (e *Engine) flushCursors() {
	for e.seg.Failed() == nil && e.seq.sessions.dirty() {
		c := &e.seq.commit
		c.reset(e.time(), 0) // without keys
		c.durable = true
		if e.commitStaged(c) != durable {
			return
		}
	}
}

func full(err error) *message.Error {
	return message.Errorf(message.Unavailable, "the disk is full").Because(err)
}

func failing(err error) *message.Error {
	return message.Errorf(message.Unavailable, "the disk is failing; trying to go on elsewhere").Because(err)
}

// refuse notes why publishes are refused.
func (e *Engine) refuse(err *message.Error) {
	if e.refusing.Swap(err) == nil {
		e.log.WithError(err.Cause).Error("publishes are refused: " + err.Text)
	}
}

// accept notes that publishes are taken again.
func (e *Engine) accept() {
	if e.refusing.Swap(nil) != nil {
		e.log.Info("publishes are accepted again")
	}
}

// tick does what depends on time alone.
func (e *Engine) tick() {
	e.repair()
	e.flushCursors()
	e.expire()
	e.checkpointIfDue()
}

// repair tries to go on after the disk failed or was full.
func (e *Engine) repair() {
	if e.seg.Failed() != nil {
		if err := e.seg.Repair(); err != nil {
			if !errors.Is(err, seglog.ErrFull) {
				e.log.WithError(err).Warn("the disk is still failing")
			}
			return
		}
		if c := e.seq.held; c != nil {
			e.seq.held, e.seq.sessions.held = nil, nil
			e.show(c)
			c.run()
		}
	}
	if e.refusing.Load() != nil && e.corrupt.Load() == nil && e.seg.HasRoom() {
		e.accept()
	}
}

// finish ends the engine: what is pending was done.
func (e *Engine) finish() {
	defer close(e.seq.closed)
	e.repair()
	e.flushCursors()
	if e.seq.saving {
		e.checkpointDone(<-e.seq.saved)
	}
	var errs []error
	switch err := e.seg.Failed(); {
	case err == nil:
		err := e.seg.Checkpoint(e.checkpointBody())()
		if errors.Is(err, seglog.ErrFull) { // nothing is lost by it
			e.checkpointDone(err)
			err = nil
		}
		errs = append(errs, err, e.seg.Final())
	case !errors.Is(err, seglog.ErrFull) || e.seq.sessions.dirty():
		errs = append(errs, err)
	}
	e.queue.end()
	errs = append(errs, e.seg.Close())
	e.seq.closeErr = errors.Join(errs...)
}
