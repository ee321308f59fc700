package vfs

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A syncer has the kernel sync files (io_submit(2), IOCB_CMD_FDSYNC) while the
// goroutine that asked for it is parked like one that waits for the network.
//
// With fdatasync(2) a thread waits instead. The runtime then looks every 20 µs
// whether to take its processor away, and starts another thread when it does:
// at a thousand small commits a second that was a third of all the time that the
// daemon used (BenchmarkSync).
//
// It syncs one file at a time, for the log's commits; what comes meanwhile, and
// where the kernel gives no queue, takes fdatasync. It is used concurrently, and
// closed by its maker when nobody does any more.
type syncer struct {
	mu    sync.Mutex
	queue uintptr  // aio_context_t
	done  *os.File // an eventfd that is raised when the file is synced
	raw   syscall.RawConn
	take  func(fd uintptr) bool
	lost  bool // a request was not answered
	one   request
	list  [1]*request
}

// A request is the kernel's struct iocb (linux/aio_abi.h), an event its struct
// io_event; what a sync has no use for has no name.
type request struct {
	_              [2]uint64
	opcode, _      uint16
	file           uint32
	_              [4]uint64
	flags, eventFD uint32
}

type event struct {
	_         [2]uint64
	result, _ int64
}

const (
	opSyncData     = 3 // IOCB_CMD_FDSYNC
	flagRaiseEvent = 1 // IOCB_FLAG_RESFD
)

func newSyncer() (*syncer, error) {
	s := &syncer{}
	if _, _, e := unix.Syscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&s.queue)), 0); e != 0 {
		return nil, fmt.Errorf("io_setup: %w", e)
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		s.destroy()
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	s.done = os.NewFile(uintptr(fd), "synced")
	if err = s.done.SetDeadline(time.Time{}); err != nil { // it cannot be waited for
		s.Close()
		return nil, fmt.Errorf("watch the eventfd: %w", err)
	}
	if s.raw, err = s.done.SyscallConn(); err != nil {
		s.Close()
		return nil, err
	}
	s.take = lower
	s.one = request{opcode: opSyncData, flags: flagRaiseEvent, eventFD: uint32(fd)}
	s.list[0] = &s.one
	return s, nil
}

// lower takes an eventfd back to 0 and reports whether it was raised.
func lower(fd uintptr) bool {
	var count uint64
	_, _, e := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&count)), 8)
	return e == 0
}

// errBusy says that the queue does not take the file: nothing has happened.
var errBusy = errors.New("the kernel takes no request")

// errNoAnswer says that the kernel has a request whose outcome will not be known. The
// file counts as not synced, and the queue is not used again.
var errNoAnswer = errors.New("a sync had no answer")

// sync makes the content of a file durable, or returns errBusy.
func (s *syncer) sync(fd uintptr) error {
	if !s.mu.TryLock() {
		return errBusy
	}
	defer s.mu.Unlock()
	if s.lost {
		return errBusy
	}
	s.one.file = uint32(fd)
	n, _, e := unix.RawSyscall(unix.SYS_IO_SUBMIT, s.queue, 1, uintptr(unsafe.Pointer(&s.list)))
	if e != 0 || n != 1 {
		return errBusy
	}
	err := s.wait()
	s.lost = errors.Is(err, errNoAnswer) // the next request must not be given its answer
	return err
}

// wait returns what became of the request. The kernel has it and the descriptor,
// so nothing else may be done before it answers.
func (s *syncer) wait() error {
	if err := s.raw.Read(s.take); err != nil {
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	var got event
	n, _, e := unix.RawSyscall6(unix.SYS_IO_GETEVENTS, s.queue, 1, 1, uintptr(unsafe.Pointer(&got)), 0, 0)
	switch {
	case e != 0:
		return fmt.Errorf("%w: io_getevents: %w", errNoAnswer, e)
	case n != 1:
		return errNoAnswer
	}
	return got.err()
}

// err returns why a request failed, nil if it did not.
func (e *event) err() error {
	if e.result < 0 {
		return syscall.Errno(-e.result)
	}
	return nil
}

// Close gives the queue back.
func (s *syncer) Close() error {
	s.destroy()
	return s.done.Close()
}

func (s *syncer) destroy() { _, _, _ = unix.Syscall(unix.SYS_IO_DESTROY, s.queue, 0, 0) }
