package reactor_test

import (
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// connect opens n connections to addr and waits for the reactor to have them.
func connect(b *testing.B, r *reactor.Reactor, addr string, n int, opened <-chan *reactor.Conn) ([]net.Conn, []*reactor.Conn) {
	b.Helper()
	peers, conns := make([]net.Conn, n), make([]*reactor.Conn, n)
	for i := range n {
		peers[i] = dial(b, addr)
		_ = peers[i].SetDeadline(time.Time{})
		conns[i] = get(b, opened)
	}
	return peers, conns
}

// BenchmarkIdle tells what an idle connection costs this process's heap; half
// of what the test process holds per connection is the peer's net.Conn, so it
// is measured before and after the reactor's own part by closing that.
func BenchmarkIdle(b *testing.B) {
	const n = 4000
	h := &handler{}
	for b.Loop() {
		r := start(b, reactor.Options{})
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		peers := make([]net.Conn, n)
		for i := range peers { // they wait in the backlog, but for what that does not hold
			if i == 0 {
				if err := r.Listen(l, func(*reactor.Conn) reactor.Handler { return h }); err != nil {
					b.Fatal(err)
				}
			}
			peers[i] = dial(b, l.Addr().String())
		}
		for r.Len() < n {
			runtime.Gosched()
		}
		full := inUse()
		stop(b, r)
		runtime.KeepAlive(r)
		b.ReportMetric(float64(full-inUse())/n, "B/conn")
		for _, p := range peers {
			p.Close()
		}
		l.Close()
	}
}

func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkEcho(b *testing.B) {
	r := start(b, reactor.Options{Loops: 1})
	addr := listen(b, r, func(*reactor.Conn) reactor.Handler {
		return &handler{data: func(c *reactor.Conn, p []byte) int { c.Write(p); return len(p) }}
	})
	nc := dial(b, addr)
	msg := make([]byte, 128)
	for b.Loop() {
		_, _ = nc.Write(msg)
		if _, err := io.ReadFull(nc, msg); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFanOut sends one shared frame to 1,000 connections, a turn each
// time; the peers' side is drained in between, unmeasured.
func BenchmarkFanOut(b *testing.B) {
	const n = 1000
	for _, burst := range []int{1, 16} {
		b.Run(strconv.Itoa(burst)+"at-once", func(b *testing.B) {
			r := start(b, reactor.Options{Loops: 1})
			opened := make(chan *reactor.Conn, 1)
			h := &handler{}
			addr := listen(b, r, func(c *reactor.Conn) reactor.Handler { opened <- c; return h })
			peers, conns := connect(b, r, addr, n, opened)
			frame := make([]byte, 130)
			bufs := make([][]byte, burst)
			for i := range bufs {
				bufs[i] = frame
			}
			l := r.Loops()[0]
			in := make([]byte, 1<<16)
			b.ReportAllocs()
			for b.Loop() {
				on(b, l, func() {
					for _, c := range conns {
						c.Write(bufs...)
					}
				})
				b.StopTimer()
				for _, p := range peers {
					if _, err := io.ReadFull(p, in[:burst*len(frame)]); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n*burst), "ns/delivery")
		})
	}
}

// BenchmarkConnect opens, echoes once and closes.
func BenchmarkConnect(b *testing.B) {
	r := start(b, reactor.Options{Loops: 1})
	h := &handler{data: echo}
	addr := listen(b, r, func(*reactor.Conn) reactor.Handler { return h })
	var wg sync.WaitGroup
	defer wg.Wait()
	p := make([]byte, 1)
	for b.Loop() {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		_ = nc.(*net.TCPConn).SetLinger(0) // or the ports run out
		_, _ = nc.Write(p)
		if _, err := nc.Read(p); err != nil && !os.IsTimeout(err) {
			b.Fatal(err)
		}
		nc.Close()
	}
}
