package local

import (
	"cmp"
	"slices"
)

// Applications share the queue. As long as all that waits is one small batch, which is
// the rule, it is taken in its order. Where there is more, somebody publishes faster
// than the disk is, and the others are not to wait behind that:
//
//   - an application may have as much waiting as there is room left, so one by itself
//     has half of it, and of two that want all a third each;
//   - applications have their turns, in each of which one gives its share of a batch.
//     What an application has submitted keeps its order; what several have need not. A
//     submit for several goes when it is next of each, and takes of the room of each what
//     it has for that;
//   - batches are small, because who comes next waits for the one that is being written,
//     and where there are several applications smaller still: the next is behind that.
//
// What is no submit, like a cursor that has moved, waits for no turn.

// About how much goes into one batch where that is not all, in bytes: of one
// application, and of several together. With the first the sync is a small part of the
// price already.
const (
	aloneBytes  = 512 << 10
	sharedBytes = 128 << 10
)

// A backlog is what waits where it is more than a batch. The queue owns it.
type backlog struct {
	apps   map[string]*line
	turns  []*line  // those of apps, who is next first
	others []op     // what is no submit
	saving []uint64 // places of submits with sessions; see mayGo
	placed uint64   // ops that have come, ever
}

// A line is what an application has submitted. It is not empty. A submit for several
// stands in the line of each.
type line struct {
	app string
	ops []op
}

func (q *queue) init() {
	q.wake = make(chan struct{}, 1)
	q.apps = map[string]int{}
	q.backlog.apps = map[string]*line{}
}

// A share is what of a submit is for one application, in bytes.
type share struct {
	app  string
	size int
}

// divide notes what of s is for other applications than its first message.
func (s *submit) divide() {
	first := s.app()
	for i := range s.msgs {
		if app := s.msgs[i].Channel.App(); app != first {
			s.others = append(s.others, share{app, s.msgs[i].Size()})
		}
	}
	slices.SortFunc(s.others, func(x, y share) int { return cmp.Compare(x.app, y.app) })
	n := 0
	for i, o := range s.others {
		if i > 0 && s.others[n-1].app == o.app {
			s.others[n-1].size += o.size
			continue
		}
		s.others[n] = o
		n++
	}
	s.others = s.others[:n]
}

// shares calls yield with each application that the submit o is for, and what it has.
func (o *op) shares(yield func(app string, size int) bool) {
	own := o.size
	for _, s := range o.submit.others {
		own -= s.size
		if !yield(s.app, s.size) {
			return
		}
	}
	yield(o.submit.app(), own)
}

// app returns the application of the first message of s, which what else there is of s
// counts for, too.
func (s *submit) app() string {
	if len(s.msgs) == 0 {
		return ""
	}
	return s.msgs[0].Channel.App()
}

// admit reports whether there is room for o, and counts it. q.mu is held.
func (q *queue) admit(o *op) bool {
	free := maxPending - q.bytes
	if o.size > free || o.submit == nil {
		return o.size <= free
	}
	for app, size := range o.shares {
		if q.apps[app]+size > free {
			return false
		}
	}
	for app, size := range o.shares {
		q.apps[app] += size
	}
	return true
}

// take returns what is next, and whether nothing more comes; spare's array is used
// again.
func (q *queue) take(spare []op) (ops []op, over bool) {
	clear(spare)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.backlog.empty() && q.bytes <= q.most() {
		ops, q.ops, q.bytes = q.ops, spare[:0], 0
		clear(q.apps)
		return ops, q.closed
	}
	for i := range q.ops {
		q.backlog.add(&q.ops[i])
	}
	clear(q.ops)
	q.ops = q.ops[:0]
	ops = q.choose(spare[:0])
	if !q.backlog.empty() {
		q.kick()
	}
	return ops, q.closed && q.backlog.empty()
}

// most returns about how much may go into a batch.
func (q *queue) most() int {
	if len(q.apps) > 1 {
		return sharedBytes
	}
	return aloneBytes
}

// choose moves to ops what is next of the backlog: of the applications their shares,
// turn by turn, and all the others that may go. It is called with q.mu.
func (q *queue) choose(ops []op) []op {
	b, left := &q.backlog, q.most()
	share := left / max(len(b.turns), 1)
	for stuck := 0; left > 0 && stuck < len(b.turns); {
		l, given := b.turns[0], 0
		for len(l.ops) > 0 && (given == 0 || given+l.ops[0].size <= share) && b.isNext(&l.ops[0]) && b.mayGo(&l.ops[0]) {
			given += l.ops[0].size
			ops = append(ops, l.ops[0])
			q.give(&ops[len(ops)-1])
		}
		left -= given
		switch {
		case given > 0:
			stuck = 0
		case len(l.ops) > 0: // else it has gone with that of another
			stuck++
		}
		if b.turns = b.turns[1:]; len(l.ops) > 0 {
			b.turns = append(b.turns, l)
		}
	}
	b.turns = slices.DeleteFunc(b.turns, func(l *line) bool { return len(l.ops) == 0 })
	n := 0
	for n < len(b.others) && b.mayGoBehind(&b.others[n]) {
		q.bytes -= b.others[n].size
		n++
	}
	ops = append(ops, b.others[:n]...)
	b.others = slices.Delete(b.others, 0, n)
	slices.SortFunc(ops, func(x, y op) int { return cmp.Compare(x.place, y.place) })
	return ops
}

// give takes o, which is the next one of each of its applications, out of their lines and
// off their accounts.
func (q *queue) give(o *op) {
	for app, size := range o.shares {
		q.count(app, size)
		l := q.backlog.apps[app]
		if l.ops[0], l.ops = (op{}), l.ops[1:]; len(l.ops) == 0 {
			delete(q.backlog.apps, app)
		}
	}
}

// count takes what an application has given off its account.
func (q *queue) count(app string, given int) {
	q.bytes -= given
	if q.apps[app] -= given; q.apps[app] == 0 {
		delete(q.apps, app)
	}
}

func (b *backlog) empty() bool { return len(b.turns)+len(b.others) == 0 }

// add puts o at the end of what waits like it.
func (b *backlog) add(o *op) {
	b.placed++
	o.place = b.placed
	if o.submit == nil {
		b.others = append(b.others, *o)
		return
	}
	if len(o.submit.sessions) > 0 {
		b.saving = append(b.saving, o.place)
	}
	for app := range o.shares {
		l := b.apps[app]
		if l == nil {
			l = &line{app: app}
			b.apps[app] = l
			b.turns = append(b.turns, l)
		}
		l.ops = append(l.ops, *o)
	}
}

// isNext reports whether a submit is the next one of each of its applications.
func (b *backlog) isNext(o *op) bool {
	if len(o.submit.others) == 0 {
		return true
	}
	for app := range o.shares {
		if b.apps[app].ops[0].place != o.place {
			return false
		}
	}
	return true
}

// mayGo reports whether a submit may be next of its application, and then notes that it
// goes. What is asked of sessions, with messages or without, keeps its order, whatever
// the application: the last one counts.
func (b *backlog) mayGo(o *op) bool {
	switch {
	case len(o.submit.sessions) == 0:
		return true
	case b.saving[0] != o.place:
		return false
	}
	b.saving = b.saving[1:]
	return true
}

// mayGoBehind is mayGo for what is no submit.
func (b *backlog) mayGoBehind(o *op) bool { return len(b.saving) == 0 || o.place < b.saving[0] }
