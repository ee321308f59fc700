package local

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A queueTest is a queue whose sequencer is the test. Ops are known by their number.
type queueTest struct {
	*testing.T
	queue
	asked int
}

func newQueueTest(t *testing.T) *queueTest {
	q := &queueTest{T: t}
	q.init()
	return q
}

// submit puts a submit, and returns its number.
func (q *queueTest) submit(app string, size int, sessions ...engine.Session) int {
	q.Helper()
	return q.ask(op{size: size, submit: &submit{msgs: []message.Message{{Channel: channel.Name("/" + app + "/1")}}, sessions: sessions}})
}

func (q *queueTest) ask(o op) int {
	q.Helper()
	q.asked++
	o.at = int64(q.asked)
	if err := q.put(o); err != nil {
		q.Fatal(err)
	}
	return q.asked
}

// batch takes what is next, and returns the numbers and the bytes of that.
func (q *queueTest) batch() (numbers []int, bytes int) {
	ops, _ := q.take(nil)
	for i := range ops {
		numbers = append(numbers, int(ops[i].at))
		bytes += ops[i].size
	}
	return numbers, bytes
}

// What an application floods the queue with is taken in small batches, the next of
// which has what another one has submitted meanwhile.
func TestOneMessageBesideAFlood(t *testing.T) {
	const size = 4 << 10
	q := newQueueTest(t)
	for range 30 << 20 / size {
		q.submit("flood", size)
	}
	for i := range 20 {
		_, bytes := q.batch()
		one := q.submit("other", size)
		next, shared := q.batch()
		if !slices.Contains(next, one) {
			t.Fatalf("%d: the next batch has not what another application has submitted", i)
		}
		if bytes > aloneBytes || shared > sharedBytes+size {
			t.Errorf("%d: a batch had %d bytes, one of two applications %d", i, bytes, shared)
		}
		if shared < sharedBytes-size {
			t.Errorf("%d: a batch had %d bytes only", i, shared)
		}
		q.submit("flood", size)
	}
}

// Of a hundred applications, each has its turn.
func TestTurnsOfApplications(t *testing.T) {
	const apps, size = 100, 16 << 10
	q := newQueueTest(t)
	app := map[int]int{}
	for range 10 {
		for i := range apps {
			app[q.submit(fmt.Sprint(i), size)] = i
		}
	}
	had := map[int]int{}
	for range apps*size/sharedBytes + 1 {
		numbers, _ := q.batch()
		for _, n := range numbers {
			had[app[n]]++
		}
	}
	for i := range apps {
		if had[i] < 1 || had[i] > 2 {
			t.Errorf("application %d has had %d turns", i, had[i])
		}
	}
}

// Whatever waits, and however it is mixed: everything is taken once, what an application
// has submitted in its order, and what is asked of sessions as well.
func TestOrderInTheBacklog(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		q := newQueueTest(t)
		kinds := map[int]string{}
		var taken []int
		for range 2000 {
			switch n := r.IntN(20); {
			case n == 0:
				numbers, _ := q.batch()
				taken = append(taken, numbers...)
			case n < 5:
				kinds[q.ask(op{save: &engine.Session{}, size: saveSize})] = "session"
			case n == 5:
				app := string(rune('a' + r.IntN(3)))
				kinds[q.submit(app, 1+r.IntN(200<<10), engine.Session{})] = app + " session"
			default:
				app := string(rune('a' + r.IntN(3)))
				kinds[q.submit(app, 1+r.IntN(20<<10))] = app
			}
		}
		for len(taken) < len(kinds) {
			numbers, _ := q.batch()
			if len(numbers) == 0 {
				t.Fatalf("seed %d: %d of %d were taken", seed, len(taken), len(kinds))
			}
			taken = append(taken, numbers...)
		}
		last := map[string]int{}
		for _, n := range taken {
			for _, order := range []string{"a", "b", "c", "session"} {
				if kind := kinds[n]; kind[:1] != order && (len(kind) < 7 || kind[len(kind)-7:] != order) {
					continue
				}
				if n <= last[order] {
					t.Fatalf("seed %d, %s: %d came behind %d", seed, order, n, last[order])
				}
				last[order] = n
			}
		}
		if q.bytes != 0 || len(q.apps) != 0 || !q.backlog.empty() || len(q.backlog.saving) != 0 {
			t.Fatalf("seed %d: what was taken is still counted: %d bytes, %v, %v", seed, q.bytes, q.apps, q.backlog.saving)
		}
	}
}
