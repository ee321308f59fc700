package reactor

import "golang.org/x/sys/unix"

// run takes turn after turn. The hooks come last: what they leave to be settled
// is the next turn's, which then does not wait, so that their round of output
// always follows whatever the connections' handlers were offered.
func (l *Loop) run() {
	defer l.release()
	l.maybeTick()
	for !l.quit {
		l.wait()
		others := l.input()
		l.posted()
		l.postponed()
		l.settle()
		l.maybeTick()
		for _, f := range l.onTurn {
			l.hook(f)
		}
		if others || len(l.reported)+len(l.later) > 0 {
			// The loop goes on without waiting for anything, so on few cores it would
			// keep others from the processor: those to whom it has handed over what
			// has come, like the engine, until the runtime takes it away, 10 ms later.
			l.poll.yield(l.real)
		}
	}
}

// turnInput is about how many bytes a turn reads of those that are urgent, and of the
// others: the messages that have come meanwhile are then sent on before more is read.
const turnInput = 32 << 10

// input handles events, first those of connections that are urgent, in the order in
// which they came, then some others; what is too much for this turn is left in reported
// and others. It tells whether others had something to say.
func (l *Loop) input() (others bool) {
	for end := l.wire.received + turnInput; len(l.reported) > 0 && l.wire.received < end; l.reported = l.reported[1:] {
		l.event(&l.reported[0])
	}
	if !l.patient {
		return false
	}
	n := 0
	if len(l.others) == 0 {
		n = l.poll.pollPatient()
		l.others = l.poll.others[:n]
	}
	others = len(l.others) > 0
	for end := l.wire.received + turnInput; len(l.others) > 0 && l.wire.received < end; l.others = l.others[1:] {
		l.event(&l.others[0])
	}
	l.patient = len(l.others) > 0 || n == patientBatch
	return others
}

// wait asks for events, if none are left. It blocks only if nothing else is to be
// done: whoever posts after asleep is set wakes it.
func (l *Loop) wait() {
	switch {
	case len(l.reported) > 0:
		return
	case len(l.due)+len(l.later) > 0 || l.patient:
		l.reported = l.poll.events[:l.poll.wait(false)]
		return
	}
	l.mu.Lock()
	idle := len(l.mail) == 0
	l.asleep.Store(idle)
	l.mu.Unlock()
	l.reported = l.poll.events[:l.poll.wait(idle)]
	l.asleep.Store(false)
}

// event handles one event. Descriptors that are no connection's have the
// generation 0; a generation that is not the connection's belongs to an earlier
// owner of the number.
func (l *Loop) event(ev *unix.EpollEvent) {
	switch {
	case ev.Pad != 0:
	case int(ev.Fd) == l.poll.patient:
		l.patient = true
		return
	case int(ev.Fd) == l.poll.bell:
		return
	default:
		l.accept(ev.Fd)
		return
	}
	c := l.conns[ev.Fd]
	if c == nil || c.gen != uint32(ev.Pad) {
		return
	}
	if ev.Events&unix.EPOLLOUT != 0 {
		l.flush(c)
	}
	if ev.Events&^unix.EPOLLOUT != 0 && c.state&gone == 0 {
		l.receive(c, ev.Events)
	}
}

// posted runs what was posted before it was called.
func (l *Loop) posted() {
	l.mu.Lock()
	l.batch, l.mail = l.mail, l.batch[:0]
	l.mu.Unlock()
	for i, f := range l.batch {
		l.batch[i] = nil
		l.hook(f)
	}
	if cap(l.batch) > 4096 {
		l.batch = nil // a burst is over; do not keep its size
	}
}

// postponed runs the first of what was left to later before this turn.
func (l *Loop) postponed() {
	if len(l.later) == 0 {
		return
	}
	f := l.later[0]
	l.later[0] = nil
	if l.later = l.later[1:]; len(l.later) == 0 {
		l.later = nil
	}
	l.hook(f)
}
