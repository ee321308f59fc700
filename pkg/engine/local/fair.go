package local

// Applications share the queue. As long as all that waits is one batch, which is the
// rule, it is taken in its order. Where there is more, somebody publishes faster than
// the disk is, and the others are not to wait behind that:
//
//   - an application may have as much waiting as there is room left, so one by itself
//     has half of it, and of two that want all a third each;
//   - batches are smaller, so that who comes next has not to wait for a large one, and
//     each application has the same share of every one. What an application has submitted keeps
//     its order; what several have need not.

// sharedBytes is about how much goes into one of these batches.
const sharedBytes = 1 << 20

func (q *queue) init() {
	q.wake = make(chan struct{}, 1)
	q.apps, q.chosen = map[string]int{}, map[string]int{}
}

// app returns the application that a submit counts for: that of its first message.
func (s *submit) app() string {
	if len(s.msgs) == 0 {
		return ""
	}
	return s.msgs[0].Channel.App()
}

// admit reports whether there is room for o, and counts it. q.mu is held.
func (q *queue) admit(o *op) bool {
	free := maxPending - q.bytes
	if o.submit == nil {
		return o.size <= free
	}
	app := o.submit.app()
	if q.apps[app]+o.size > free {
		return false
	}
	q.apps[app] += o.size
	return true
}

// take returns what is next, and whether nothing more comes; spare's array is used
// again.
func (q *queue) take(spare []op) (ops []op, over bool) {
	clear(spare)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes > commitBytes {
		ops = q.choose(spare[:0])
	} else {
		ops, q.ops, q.bytes = q.ops, spare[:0], 0
		clear(q.apps)
	}
	if len(q.ops) > 0 {
		q.kick()
	}
	return ops, q.closed && len(q.ops) == 0
}

// choose moves to ops what is next of too much: of each application its share of a
// batch, and everything else. It is called with q.mu.
func (q *queue) choose(ops []op) []op {
	share := sharedBytes / max(len(q.apps), 1)
	clear(q.chosen)
	left := q.ops[:0]
	for i := range q.ops {
		o := &q.ops[i]
		if o.submit == nil {
			q.bytes -= o.size
			ops = append(ops, *o)
			continue
		}
		app := o.submit.app()
		chosen := q.chosen[app]
		if chosen == 0 || chosen+o.size <= share {
			q.chosen[app] = chosen + o.size
			q.apps[app] -= o.size
			q.bytes -= o.size
			ops = append(ops, *o)
			continue
		}
		q.chosen[app] = sharedBytes // the smaller ones behind it wait as well
		if len(o.submit.sessions) > 0 {
			// What else is asked of its sessions comes behind it.
			left = append(left, q.ops[i:]...)
			break
		}
		left = append(left, *o)
	}
	clear(q.ops[len(left):])
	q.ops = left
	for app, n := range q.apps {
		if n == 0 {
			delete(q.apps, app)
		}
	}
	return ops
}
