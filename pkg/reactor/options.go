package reactor

import (
	"io"
	"runtime"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"
)

// Options say how a Reactor is made; the zero value is good.
type Options struct {
	// Loops is how many loops there are; 0 means GOMAXPROCS.
	Loops int
	// MaxConns bounds the connections of all loops together; what is accepted
	// beyond it is closed at once. 0 means as many as there are descriptors.
	MaxConns int
	// Reserve is how many descriptors below the process's limit are left to
	// others (segments of the log, the directory, the console). Default 64.
	Reserve int
	// MaxInput bounds the bytes that a connection's handler may leave
	// unconsumed, and is the size of a loop's read buffer. Default 256 KiB.
	MaxInput int
	// CloseTimeout bounds how long Conn.Close waits for pending output to be
	// taken. Default 10 s.
	CloseTimeout time.Duration
	// Linger bounds how long a connection whose output has all been sent waits
	// for the peer to close its side as well. Default 2 s.
	Linger time.Duration
	// HandshakeTimeout bounds the handshake of TLS, from the accept on. Default
	// 10 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes is how many handshakes of TLS a loop may have begun and not
	// ended, each of which has a stack of some ten KB. Beyond it peers wait. Default:
	// 1,024 of all loops together.
	MaxHandshakes int
	// Tick is how often the OnTick hooks run, and thereby the grain of all
	// times that are told or kept here. Default 1 s.
	Tick time.Duration
	// Logger gets what an operator should know. Default: nothing is logged.
	Logger logrus.FieldLogger
	// Now is the clock whose times are told. Default time.Now.
	Now func() time.Time

	limit func(fd int32, n int) int // see wire
}

// defaults returns o with what was left open filled in.
func (o Options) defaults() Options {
	o.Loops = positive(o.Loops, runtime.GOMAXPROCS(0))
	o.Reserve = positive(o.Reserve, 64)
	o.MaxInput = positive(o.MaxInput, 256<<10)
	o.MaxConns = positive(o.MaxConns, 1<<30)
	o.CloseTimeout = positive(o.CloseTimeout, 10*time.Second)
	o.Linger = positive(o.Linger, 2*time.Second)
	o.HandshakeTimeout = positive(o.HandshakeTimeout, 10*time.Second)
	o.MaxHandshakes = positive(o.MaxHandshakes, max(1024/o.Loops, 32))
	o.Tick = positive(o.Tick, time.Second)
	if o.Logger == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		o.Logger = silent
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// descriptorLimit returns the number that a connection's descriptor has to stay
// below so that reserve of them are left: the kernel gives the lowest free
// number, so a high one means that nearly all are in use.
func descriptorLimit(reserve int) int {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil || lim.Cur > 1<<30 {
		return 1 << 30
	}
	// A tiny limit still has to leave room for some connections.
	return max(int(lim.Cur)-reserve, int(lim.Cur)/2)
}
