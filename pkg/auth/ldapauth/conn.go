package ldapauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	ldap "github.com/go-ldap/ldap/v3"
)

// maxAnswer bounds the bytes of one answer: 10,000 groups with long names are
// 2 MiB.
const maxAnswer = 32 << 20

// A conn is one connection to a server. One goroutine has it at a time.
type conn struct {
	ldap   *ldap.Conn // nil if it was never ready
	wire   *bounded
	server *server

	made, used time.Time
	old        bool // it has served before
	broken     bool // what comes next on it would not be an answer to our question
	timedOut   bool
	spent      bool // it is not used again
}

// bounded is a connection that gives no more than left bytes: a server that
// never ends its answer ends the connection. Close ends whatever waits on it.
type bounded struct {
	net.Conn
	left atomic.Int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if b.left.Add(-int64(n)) < 0 {
		return 0, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	return n, err
}

// do runs f, which asks the server something, until ctx ends. That, and every
// error that is not the server's answer, ends the connection: an answer that
// comes late must not be taken for that to the next question.
func (c *conn) do(ctx context.Context, f func() error) error {
	c.wire.left.Store(maxAnswer)
	stop := context.AfterFunc(ctx, func() { _ = c.wire.Close() }) // f then fails
	err := f()
	switch {
	case !stop():
		c.broken, c.timedOut = true, true
		return fmt.Errorf("no answer: %w", context.Cause(ctx))
	case err != nil && !answered(err):
		c.broken = true
	}
	return err
}

// answered reports whether err is what the server has answered.
func answered(err error) bool {
	e, ok := errors.AsType[*ldap.Error](err)
	return ok && e.ResultCode < ldap.ErrorNetwork
}

// codeOf returns the server's result code; 0 is success, and what is no answer
// has one that no server gives.
func codeOf(err error) uint16 {
	if err == nil {
		return ldap.LDAPResultSuccess
	}
	if e, ok := errors.AsType[*ldap.Error](err); ok {
		return e.ResultCode
	}
	return ldap.ErrorNetwork
}

func (c *conn) close() {
	_ = c.wire.Close() // first, so that nothing waits for the server
	if c.ldap != nil {
		_ = c.ldap.Close()
	}
}
