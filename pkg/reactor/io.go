package reactor

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bytes cross the descriptor here and nowhere else: recv and send. TLS stands
// between these two and the rest of the package (seal.go).
//
// The system calls are raw: they do not block, so telling the scheduler about
// them would only cost.

// maxVectors is how many slices one send takes; IOV_MAX would be 1,024, but
// output is mostly one frame or a few.
const maxVectors = 64

// A wire is how a loop's bytes cross descriptors, with the room for one sendmsg.
type wire struct {
	iov [maxVectors]unix.Iovec
	msg unix.Msghdr

	// limit says how many of a call's bytes may cross, 0 being EAGAIN. It is for
	// tests, which have that happen where the kernel rarely does; nil: all.
	limit func(fd int32, n int) int

	received, sent uint64 // bytes, ever
}

// cut returns as much of bufs as may cross.
func (w *wire) cut(fd int32, bufs ...[]byte) [][]byte {
	left := w.limit(fd, size(bufs))
	var some [][]byte
	for _, b := range bufs {
		b = b[:min(len(b), left)]
		left -= len(b)
		some = append(some, b)
	}
	return some
}

// recv reads into p once. It returns 0 and no error at the end of the stream,
// and EAGAIN if there is nothing to be read.
func (w *wire) recv(fd int32, p []byte) (int, syscall.Errno) {
	if w.limit != nil {
		if p = w.cut(fd, p)[0]; len(p) == 0 {
			return 0, syscall.EAGAIN
		}
	}
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if e == 0 {
			w.received += uint64(n)
			return int(n), 0
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}

// send writes what the socket takes of bufs, in one system call, and returns
// how much that was: 0 if it takes nothing. MSG_NOSIGNAL spares the process a
// SIGPIPE for each peer that has gone.
func (w *wire) send(fd int32, bufs [][]byte) (n int, e syscall.Errno) {
	if len(bufs) == 1 {
		n, e = w.sendOne(fd, bufs[0])
	} else {
		n, e = w.sendMany(fd, bufs)
	}
	w.sent += uint64(n)
	return n, e
}

func (w *wire) sendMany(fd int32, bufs [][]byte) (int, syscall.Errno) {
	if w.limit != nil {
		bufs = w.cut(fd, bufs...)
	}
	k := 0
	for _, b := range bufs {
		if k == maxVectors {
			break
		}
		if len(b) > 0 {
			w.iov[k].Base = unsafe.SliceData(b)
			w.iov[k].SetLen(len(b))
			k++
		}
	}
	if k == 0 {
		return 0, 0
	}
	w.msg.Iov = &w.iov[0]
	w.msg.SetIovlen(k)
	n, e := w.sendmsg(fd)
	clear(w.iov[:k]) // or the frames would be kept alive
	return n, e
}

func (w *wire) sendmsg(fd int32) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&w.msg)), syscall.MSG_NOSIGNAL)
		if n, e, done := sent(n, e); done {
			return n, e
		}
	}
}

func (w *wire) sendOne(fd int32, b []byte) (int, syscall.Errno) {
	if w.limit != nil {
		b = w.cut(fd, b)[0]
	}
	if len(b) == 0 {
		return 0, 0
	}
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
		if n, e, done := sent(n, e); done {
			return n, e
		}
	}
}

// sent makes the outcome of a send plain; done is false if it has to be tried
// again at once.
func sent(n uintptr, e syscall.Errno) (int, syscall.Errno, bool) {
	switch e {
	case 0:
		return int(n), 0, true
	case syscall.EAGAIN:
		return 0, 0, true
	case syscall.EINTR:
		return 0, 0, false
	}
	return 0, e, true
}
