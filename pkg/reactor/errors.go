package reactor

import "errors"

// Why a connection ended, as Handler.Closed is told; errors of the socket are
// told as what the kernel said (unix.Errno).
var (
	// ErrClosed: this side closed it.
	ErrClosed = errors.New("closed by this side")
	// ErrTimeout: this side closed it, and the peer did not take what was
	// pending, or did not close its own side, in time.
	ErrTimeout = errors.New("the peer did not finish in time")
	// ErrTooLarge: the handler consumed nothing of a full buffer.
	ErrTooLarge = errors.New("more input than may be kept")
	// ErrAnswers: the peer asks for answers of TLS, and takes none.
	ErrAnswers = errors.New("more unread answers of TLS than may be kept")
	// ErrPanic: the handler panicked.
	ErrPanic = errors.New("the handler panicked")
	// ErrShutdown: the reactor is being closed, or was.
	ErrShutdown = errors.New("the reactor is closed")
)

// Why a connection could not be handed over.
var (
	// ErrPending: output is pending and would be lost.
	ErrPending = errors.New("output is pending")
	// ErrNotSocket: the connection has no descriptor of its own.
	ErrNotSocket = errors.New("not a connection with a descriptor")
)
