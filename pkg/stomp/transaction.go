package stomp

import (
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// A transaction gathers what is carried out as one at COMMIT, and is forgotten at
// ABORT or with the connection.
type transaction struct {
	messages []message.Message
	acks     []acknowledgement
	size     int // bytes
}

// transact begins or ends a transaction.
func (c *conn) transact(f *frame.Frame) {
	id, ok := f.Get("transaction")
	t := c.transactions[string(id)]
	switch {
	case !ok || len(id) == 0:
		c.fail(message.Errorf(message.BadRequest, "%s needs a transaction", f.Command), f)
	case f.Command != frame.Begin:
		if t = c.inside(string(id), f); t != nil {
			delete(c.transactions, string(id))
			c.inTx -= t.size
			c.finish(t, f)
		}
	case t != nil:
		c.fail(message.Errorf(message.BadRequest, "the transaction %.40q has begun already", id), f)
	case len(c.transactions) >= maxTransactions:
		c.fail(message.Errorf(message.TooLarge, "a connection may have %d transactions at a time", maxTransactions), f)
	default:
		if c.transactions == nil {
			c.transactions = map[string]*transaction{}
		}
		c.transactions[string(id)] = &transaction{}
		c.receipt(f)
	}
}

// finish carries a transaction out, or not.
func (c *conn) finish(t *transaction, f *frame.Frame) {
	switch {
	case f.Command == frame.Abort:
		c.receipt(f)
	case len(t.messages) == 0:
		for i := range t.acks {
			c.settle(&t.acks[i])
		}
		c.receipt(f)
	default:
		c.commit(t, asked(f))
	}
}

// inside returns the transaction of that name; if there is none, that ends the
// connection.
func (c *conn) inside(id string, f *frame.Frame) *transaction {
	t := c.transactions[id]
	if t == nil {
		c.fail(message.Errorf(message.BadRequest, "there is no transaction %.40q; send BEGIN first", id), f)
	}
	return t
}

// bounded says that f was taken into t, where it takes size bytes, or ends the
// connection if it was too much.
func (c *conn) bounded(t *transaction, size int, f *frame.Frame) {
	t.size += size
	c.inTx += size
	limit := 16 * c.server().broker.MaxMessage()
	switch {
	case len(t.messages)+len(t.acks) > maxTransaction:
		c.fail(message.Errorf(message.TooLarge, "a transaction may have %d frames", maxTransaction), f)
	case c.inTx > limit:
		c.fail(message.Errorf(message.TooLarge, "the transactions of a connection may have %d bytes together (16 times session.max_message)", limit), f)
	default:
		c.receipt(f)
	}
}
