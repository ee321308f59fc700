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

// A vector is the room a loop has for one sendmsg.
type vector struct {
	iov [maxVectors]unix.Iovec
	msg unix.Msghdr
}

// recv reads into p once. It returns 0 and no error at the end of the stream,
// and EAGAIN if there is nothing to be read.
func recv(fd int32, p []byte) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if e == 0 {
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
func (v *vector) send(fd int32, bufs [][]byte) (int, syscall.Errno) {
	if len(bufs) == 1 {
		return sendOne(fd, bufs[0])
	}
	k := 0
	for _, b := range bufs {
		if k == maxVectors {
			break
		}
		if len(b) > 0 {
			v.iov[k].Base = unsafe.SliceData(b)
			v.iov[k].SetLen(len(b))
			k++
		}
	}
	if k == 0 {
		return 0, 0
	}
	v.msg.Iov = &v.iov[0]
	v.msg.SetIovlen(k)
	n, e := v.sendmsg(fd)
	clear(v.iov[:k]) // or the frames would be kept alive
	return n, e
}

func (v *vector) sendmsg(fd int32) (int, syscall.Errno) {
	for {
		n, _, e := syscall.RawSyscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&v.msg)), syscall.MSG_NOSIGNAL)
		if n, e, done := sent(n, e); done {
			return n, e
		}
	}
}

func sendOne(fd int32, b []byte) (int, syscall.Errno) {
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
