package reactor

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// batch is how many events are asked for at once, patientBatch how many of connections
// that are not urgent.
const (
	batch        = 512
	patientBatch = 4
)

// A poller is two epoll instances. Only its loop uses it, but for wake.
//
// Connections that are not urgent, or that send more than is read at once, are in the
// second one, which the first one watches: however many of them have something to say,
// nobody else stands behind them.
//
// The first one is itself watched by the Go runtime's poller, and a loop with
// nothing to do waits there, parked like any goroutine. Were it to block in
// epoll_wait, it would keep its processor from the other goroutines until the
// runtime's monitor notices, which on a machine with few cores is most of the
// time between two messages.
//
// Connections are registered level-triggered: one read an event is then enough,
// without a second one to see EAGAIN, a connection with much to say takes turns
// with the others, and what a paused one has not read is reported once it is
// resumed.
type poller struct {
	fd      int
	patient int
	bell    int // an eventfd of the first instance; see yield
	file    *os.File
	raw     syscall.RawConn
	try     func(fd uintptr) bool
	ring    func(fd uintptr) bool
	rung    bool
	looked  time.Time // when the runtime did, by yield
	end     time.Time // of a wait, at the latest
	n       int
	events  [batch]unix.EpollEvent
	others  [patientBatch]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create an epoll instance: %w", err)
	}
	p := &poller{fd: fd, patient: -1, bell: -1}
	if err := p.start(); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *poller) start() (err error) {
	if err := unix.SetNonblock(p.fd, true); err != nil {
		return fmt.Errorf("set the epoll instance non-blocking: %w", err)
	}
	p.file = os.NewFile(uintptr(p.fd), "epoll")
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return fmt.Errorf("watch the epoll instance: %w", err)
	}
	p.try = func(uintptr) bool { p.n = p.poll(); return p.n > 0 }
	p.ring = p.ringOnce
	if p.bell, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("create an eventfd: %w", err)
	}
	if err := p.add(p.fd, p.bell, 0, unix.EPOLLIN|unix.EPOLLET); err != nil {
		return err
	}
	if p.patient, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("create an epoll instance: %w", err)
	}
	return p.add(p.fd, p.patient, 0, unix.EPOLLIN)
}

func (p *poller) close() {
	if p.patient >= 0 {
		_ = unix.Close(p.patient)
	}
	if p.bell >= 0 {
		_ = unix.Close(p.bell)
	}
	if p.file != nil {
		_ = p.file.Close()
		return
	}
	_ = unix.Close(p.fd)
}

// wait fills events and returns how many there are. If block is set and there
// are none, it waits for some, for a wake-up, or for the time given to until.
func (p *poller) wait(block bool) int {
	if !block {
		return p.poll()
	}
	p.n = 0
	if p.raw.Read(p.try) != nil { // the time has come, or a wake-up: the next wait is to last again
		_ = p.file.SetReadDeadline(p.end)
	}
	return p.n
}

// lookEvery is how often a loop that does not wait has the runtime look at its poller.
const lookEvery = 500 * time.Microsecond

// yield lets those run who can, and now and then those for whom the runtime's own
// poller has something, like the engine whose sync is done. [runtime.Gosched] does not
// do that: while anybody can run, the runtime does not look there for up to 10 ms. It
// looks when all wait, so the loop waits too, for its own bell.
func (p *poller) yield(now time.Time) {
	if now.Sub(p.looked) < lookEvery {
		runtime.Gosched()
		return
	}
	p.looked, p.rung = now, false
	if p.raw.Read(p.ring) != nil {
		_ = p.file.SetReadDeadline(p.end)
	}
}

// one is what an eventfd is raised by: a number of the machine's byte order.
var one = [8]byte{1}

// ringOnce rings the bell and reports that there is nothing yet; when asked again,
// there is. The wait has begun by then, so the bell is not missed.
func (p *poller) ringOnce(uintptr) bool {
	rung := p.rung
	if p.rung = true; !rung {
		_, _ = unix.Write(p.bell, one[:])
	}
	return rung
}

// until sets when wait returns at the latest.
func (p *poller) until(t time.Time) error {
	p.end = t
	return p.file.SetReadDeadline(t)
}

func (p *poller) poll() int { return poll(p.fd, p.events[:]) }

// pollPatient fills others and returns how many there are.
func (p *poller) pollPatient() int { return poll(p.patient, p.others[:]) }

func poll(instance int, events []unix.EpollEvent) int {
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(instance),
			uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
		if e == 0 {
			return int(n)
		}
		if e != syscall.EINTR {
			return 0
		}
	}
}

// wake ends a wait, or the next one; from any goroutine. A deadline that has
// passed makes the runtime run the loop's goroutine next, in this thread if it is
// free. A descriptor to write to would take two more system calls and mostly the
// wake-up of another thread, which waits in the runtime's own poller.
func (p *poller) wake() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) }

// of returns the instance for c.
func (p *poller) of(c *Conn) int {
	if c.state&(urgent|filled) == urgent {
		return p.fd
	}
	return p.patient
}

// add watches fd. The generation comes back with each event, so that one which
// was meant for an earlier owner of the same number is recognised.
func (p *poller) add(instance, fd int, gen uint32, events uint32) error {
	return ctl(instance, unix.EPOLL_CTL_ADD, fd, gen, events)
}

func (p *poller) mod(instance, fd int, gen uint32, events uint32) error {
	return ctl(instance, unix.EPOLL_CTL_MOD, fd, gen, events)
}

func (p *poller) del(instance, fd int) error { return ctl(instance, unix.EPOLL_CTL_DEL, fd, 0, 0) }

func ctl(instance, op, fd int, gen, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd), Pad: int32(gen)}
	_, _, e := syscall.RawSyscall6(syscall.SYS_EPOLL_CTL, uintptr(instance), uintptr(op),
		uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	if e != 0 {
		return fmt.Errorf("watch descriptor %d: %w", fd, e)
	}
	return nil
}
