package reactor_test

import (
	"net"
	"sync"
	"testing"

	"github.com/orbitd/orbitd/pkg/reactor"
	"golang.org/x/sys/unix"
)

func TestConnectionsBeyondTheLimitAreRefused(t *testing.T) {
	r := start(t, reactor.Options{Loops: 2, MaxConns: 2})
	addr := listen(t, r, func(*reactor.Conn) reactor.Handler { return &handler{data: echo} })
	for range 2 {
		nc := dial(t, addr)
		send(t, nc, "in")
		expect(t, nc, "in")
	}
	expectEnd(t, dial(t, addr))
	if s := r.Stats(); s.Shed != 1 || s.Conns != 2 {
		t.Fatalf("%+v", s)
	}
}

// TestWithoutDescriptorsConnectionsAreShed takes all descriptors there are; the
// sockets of the peers are made before.
func TestWithoutDescriptorsConnectionsAreShed(t *testing.T) {
	r := start(t, reactor.Options{Loops: 1})
	addr := listen(t, r, func(*reactor.Conn) reactor.Handler { return &handler{data: echo} })
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	peers := make([]int, 5)
	for i := range peers {
		if peers[i], err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(peers[i])
	}
	restore := exhaust(t)
	defer restore()
	for _, fd := range peers {
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: tcp.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		if n, err := unix.Read(fd, make([]byte, 1)); n != 0 || err != nil {
			t.Fatalf("read %d and %v, want the end", n, err)
		}
	}
	if n := r.Stats().Shed; n != 5 {
		t.Fatalf("%d shed", n)
	}
	restore()
	nc := dial(t, addr)
	send(t, nc, "again")
	expect(t, nc, "again")
}

// exhaust takes all descriptors below a lowered limit.
func exhaust(t *testing.T) (restore func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: 256, Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	var taken []int
	for {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	return sync.OnceFunc(func() {
		for _, fd := range taken {
			_ = unix.Close(fd)
		}
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old)
	})
}

func TestUnlistenEndsAccepting(t *testing.T) {
	r := start(t, reactor.Options{Loops: 2})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Listen(l, func(*reactor.Conn) reactor.Handler { return &handler{data: echo} }); err != nil {
		t.Fatal(err)
	}
	nc := dial(t, l.Addr().String())
	send(t, nc, "x")
	expect(t, nc, "x")
	r.Unlisten(l)
	l.Close()
	if other, err := net.Dial("tcp", l.Addr().String()); err == nil {
		other.Close()
		t.Fatal("a connection was taken")
	}
	send(t, nc, "still open")
	expect(t, nc, "still open")
}
