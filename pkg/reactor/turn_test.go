package reactor_test

import (
	"bytes"
	"net"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// A turns test has a loop that stands still until all have sent what they send, and
// what it then did, turn by turn.
type turns struct {
	*testing.T
	loop    *reactor.Loop
	address string
	opened  chan *reactor.Conn
	read    []reading
	turn    int
	reads   func(n int)   // called with how many readings there were; it may be nil
	told    chan struct{} // for each reading; it has room for all
}

// A reading is one call of Data.
type reading struct {
	turn, bytes int
	conn        *reactor.Conn
}

func newTurns(t *testing.T) *turns {
	r := start(t, reactor.Options{Loops: 1, Tick: 24 * time.Hour})
	x := &turns{T: t, loop: r.Loops()[0], opened: make(chan *reactor.Conn, 1), told: make(chan struct{}, 10_000)}
	x.loop.OnTurn(func() { x.turn++ })
	x.address = listen(t, r, func(c *reactor.Conn) reactor.Handler {
		x.opened <- c
		return &handler{data: func(c *reactor.Conn, b []byte) int {
			x.read = append(x.read, reading{x.turn, len(b), c})
			if x.reads != nil {
				x.reads(len(x.read))
			}
			x.told <- struct{}{}
			return len(b)
		}}
	})
	return x
}

// come connects one, whose input is urgent or not.
func (x *turns) come(urgent bool) (net.Conn, *reactor.Conn) {
	nc := dial(x, x.address)
	c := get(x, x.opened)
	on(x, x.loop, func() { c.SetUrgent(urgent) })
	return nc, c
}

// meanwhile runs f while the loop stands still: what is sent to it is all there when
// it goes on.
func (x *turns) meanwhile(f func()) {
	x.Helper()
	stands, goes := make(chan struct{}), make(chan struct{})
	x.loop.Post(func() { close(stands); <-goes })
	get(x, stands)
	f()
	close(goes)
}

// after waits for n readings, and returns all there are.
func (x *turns) after(n int) (all []reading) {
	x.Helper()
	for range n {
		get(x, x.told)
	}
	on(x, x.loop, func() { all = slices.Clone(x.read) })
	return all
}

// A crowd of newcomers is read a few in each turn, and who is urgent before them,
// though it was the last to send.
func TestNewcomersWait(t *testing.T) {
	x := newTurns(t)
	const crowd = 100
	var newcomers []net.Conn
	for range crowd {
		nc, _ := x.come(false)
		newcomers = append(newcomers, nc)
	}
	one, here := x.come(true)
	again, now := x.come(true)
	on(t, x.loop, func() { now.SetUrgent(false); now.SetUrgent(true) })
	x.meanwhile(func() {
		for _, nc := range newcomers {
			send(t, nc, "x")
		}
		send(t, one, "x")
		send(t, again, "x")
	})
	all := x.after(crowd + 2)
	if first := []*reactor.Conn{all[0].conn, all[1].conn}; !slices.Contains(first, here) || !slices.Contains(first, now) {
		t.Error("newcomers were read before those who are urgent")
	}
	in := map[int]int{}
	for _, r := range all[2:] {
		if in[r.turn]++; in[r.turn] > 8 {
			t.Fatalf("more than 8 newcomers were read in turn %d", r.turn)
		}
	}
	if len(all) != crowd+2 {
		t.Errorf("%d were read", len(all))
	}
}

// Those who send without end are read by turns, a little each, and what else is to be
// done comes in between.
func TestTurnsAreShort(t *testing.T) {
	x := newTurns(t)
	const much, busy = 40 << 10, 32
	var floods []net.Conn
	for range busy {
		nc, _ := x.come(true)
		floods = append(floods, nc)
	}
	one, here := x.come(true)
	x.meanwhile(func() {
		for _, nc := range floods {
			send(t, nc, string(bytes.Repeat([]byte("x"), much)))
		}
		send(t, one, "x")
	})
	left := busy*much + 1
	for left > 0 {
		left = busy*much + 1
		for _, r := range x.after(1) {
			left -= r.bytes
		}
	}
	turn, bytes := -1, 0
	seen := map[*reactor.Conn]int{}
	for _, r := range x.after(0) {
		if r.bytes > 16<<10 {
			t.Fatalf("%d bytes were read at once", r.bytes)
		}
		if r.turn != turn {
			turn, bytes = r.turn, 0
		}
		if bytes += r.bytes; bytes > 64<<10 {
			t.Fatalf("turn %d has read %d bytes", turn, bytes)
		}
		if seen[r.conn]++; r.conn != here && seen[here] == 0 && seen[r.conn] > 1 {
			t.Fatal("one that sends without end was read twice before another once")
		}
	}
}

// Who sends without end is read behind the others, until that is over.
func TestFloodsWait(t *testing.T) {
	x := newTurns(t)
	const much, busy, crowd = 64 << 10, 16, 100
	var floods, newcomers []net.Conn
	flooding := map[*reactor.Conn]bool{}
	for range busy {
		nc, c := x.come(true)
		floods, flooding[c] = append(floods, nc), true
	}
	one, here := x.come(true)
	begin := 0
	x.reads = func(n int) {
		if n == 2*busy+1 {
			begin = x.turn
			send(t, one, "x")
		}
	}
	x.meanwhile(func() {
		for _, nc := range floods {
			send(t, nc, string(bytes.Repeat([]byte("x"), much)))
		}
	})
	var all []reading
	for left := busy*much + 1; left > 0; {
		left = busy*much + 1
		all = x.after(1)
		for _, r := range all {
			left -= r.bytes
		}
	}
	i := slices.IndexFunc(all, func(r reading) bool { return r.conn == here })
	if took := all[i].turn - begin; took > 1 {
		t.Errorf("one has waited for %d turns of those that flood", took)
	}

	for _, nc := range floods {
		before := len(x.after(0))
		send(t, nc, "x")
		for len(x.after(0)) == before {
			x.after(1)
		}
	}
	for range crowd {
		nc, _ := x.come(false)
		newcomers = append(newcomers, nc)
	}
	before := len(x.after(0))
	x.meanwhile(func() {
		for _, nc := range slices.Concat(newcomers, floods) {
			send(t, nc, "x")
		}
	})
	for len(all) < before+crowd+busy {
		all = x.after(1)
	}
	for _, r := range all[before : before+busy] {
		if !flooding[r.conn] {
			t.Fatal("one that floods no more is read behind newcomers")
		}
	}
}

// What the loop has handed over is done by others while it has more to read, also
// where there is one processor.
func TestOthersRunBetweenTurns(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	x := newTurns(t)
	const crowd = 200
	var newcomers []net.Conn
	for range crowd {
		nc, _ := x.come(false)
		newcomers = append(newcomers, nc)
	}
	var begin int // told before it is handed over
	ran := make(chan int)
	x.meanwhile(func() {
		for _, nc := range newcomers {
			send(t, nc, "x")
		}
		x.loop.Post(func() {
			begin = len(x.told)
			go func() { ran <- len(x.told) }()
		})
	})
	if n := get(t, ran) - begin; n > crowd/2 {
		t.Errorf("%d were read before anything else was done", n)
	}
	x.after(crowd)
}

// Who is adopted, or moves, may be made urgent or not at any time.
func TestUrgentOnTheWay(t *testing.T) {
	r := start(t, reactor.Options{Loops: 2})
	from, to := r.Loops()[0], r.Loops()[1]
	for _, urgent := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		nc := dial(t, l.Addr().String())
		accepted, err := l.Accept()
		l.Close()
		if err != nil {
			t.Fatal(err)
		}
		var c *reactor.Conn
		set := false
		on(t, from, func() {
			if c, err = from.Adopt(accepted, nil, &handler{data: echo}); err == nil {
				c.SetUrgent(urgent) // it has not arrived
				set = true
			}
		})
		if !set {
			t.Fatal("it cannot be set before it arrives", err)
		}
		send(t, nc, "here")
		expect(t, nc, "here")
		on(t, from, func() {
			c.SetUrgent(!urgent)
			c.Move(to, func(c *reactor.Conn) { c.SetUrgent(urgent) })
			c.SetUrgent(urgent)
			c.SetUrgent(!urgent)
		})
		send(t, nc, "there")
		expect(t, nc, "there")
	}
}

// What is left to later is done a piece a turn, in its order, without waiting for
// anything, and who is urgent is read between the pieces.
func TestLater(t *testing.T) {
	x := newTurns(t)
	nc, _ := x.come(true)
	const pieces = 100
	var done []int // the turn of each
	x.meanwhile(func() {
		x.loop.Post(func() {
			for i := range pieces {
				x.loop.Later(func() {
					if len(done) != i {
						t.Errorf("piece %d is done as number %d", i, len(done))
					}
					done = append(done, x.turn)
				})
			}
		})
		send(t, nc, "urgent")
	})
	read := x.after(1)[0].turn
	for all := 0; all < pieces; {
		on(t, x.loop, func() { all = len(done) })
	}
	for i, turn := range done {
		if turn != done[0]+i {
			t.Errorf("piece %d in turn %d, the first in %d", i, turn, done[0])
		}
	}
	if read > done[0]+1 {
		t.Errorf("read in turn %d, when there had been %d pieces", read, read-done[0])
	}
}

// Connections that wait for their peers to close are given up a piece a turn.
func TestManyLinger(t *testing.T) {
	clock := newClock()
	r := start(t, reactor.Options{Loops: 1, Tick: time.Millisecond, Linger: time.Second, Now: clock.now})
	l := r.Loops()[0]
	opened := make(chan *reactor.Conn)
	address := listen(t, r, func(c *reactor.Conn) reactor.Handler { opened <- c; return &handler{} })
	const crowd, piece = 300, 128
	for range crowd {
		dial(t, address)
		c := get(t, opened)
		on(t, l, c.Close)
	}
	var fewer []int // by turn
	on(t, l, func() {
		before := l.Len()
		l.OnTurn(func() { n := l.Len(); fewer = append(fewer, before-n); before = n })
	})
	clock.add(time.Second)
	for left := crowd; left > 0; {
		on(t, l, func() { left = l.Len() })
	}
	on(t, l, func() {
		if most := slices.Max(fewer); most > piece {
			t.Errorf("a turn has given up %d", most)
		}
	})
}

// A loop that has something to do all the time lets those go on, too, who wait for the
// runtime's own poller, though there is one processor.
func TestBusyLoopLooks(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	x := newTurns(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	asked, answered, over := 0, make(chan int), false
	var piece func()
	piece = func() {
		for end := time.Now().Add(100 * time.Microsecond); time.Now().Before(end); {
		}
		if !over {
			x.loop.Later(piece)
		}
	}
	on(t, x.loop, piece)
	go func() {
		for b := make([]byte, 1); ; {
			if _, err := r.Read(b); err != nil {
				return
			}
			x.loop.Post(func() { took := x.turn - asked; go func() { answered <- took }() })
		}
	}()
	const most = 20 // of 100 µs; the runtime looks by itself every 10 ms
	for range 10 {
		on(t, x.loop, func() { asked = x.turn; _, _ = w.Write([]byte{1}) })
		if took := get(t, answered); took > most {
			t.Errorf("an answer took %d turns", took)
		}
	}
	on(t, x.loop, func() { over = true })
}
