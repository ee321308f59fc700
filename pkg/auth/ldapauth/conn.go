package ldapauth

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	ldap "github.com/go-ldap/ldap/v3"
)

// A conn is one connection to a server. One goroutine has it at a time.
type conn struct {
	ldap   *ldap.Conn // nil if it was never ready
	raw    net.Conn   // below TLS; closing it ends whatever waits
	wire   *bounded
	server *server

	made, used time.Time
	old        bool // it has served before
	broken     bool // what comes next on it would not be an answer to our question
	timedOut   bool
	spent      bool // it is not used again
}

// do runs f, which asks the server something, until ctx ends. That, and every
// error that is not the server's answer, ends the connection: an answer that
// comes late must not be taken for that to the next question.
func (c *conn) do(ctx context.Context, f func() error) error {
	c.wire.renew()
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() }) // f then fails
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
	_ = c.raw.Close() // first, so that nothing waits for the server
	if c.ldap != nil {
		_ = c.ldap.Close()
	}
}
