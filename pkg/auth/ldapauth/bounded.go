package ldapauth

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
)

const (
	// maxAnswer bounds the bytes of one answer, of all its messages: 10,000 groups
	// with long names are 2 MiB.
	maxAnswer = 8 << 20
	// maxMessage bounds one of them, which is an entry at most, with the names of
	// 5,000 groups. Decoded, two bytes of it may take 250, in an answer then 40.
	maxMessage = 512 << 10
)

// bounded is a connection that gives no more than may come: a server that never
// ends its answer, or says something that is no LDAP, ends the connection. It
// stands above TLS. One goroutine reads from it; renew may be called meanwhile.
type bounded struct {
	net.Conn
	left atomic.Int64 // of the answer

	rest int     // of the message that is being read
	head [6]byte // of the next one
	have int
}

// renew says that what comes now is another answer.
func (b *bounded) renew() { b.left.Store(maxAnswer) }

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if b.left.Add(-int64(n)) < 0 {
		return 0, fmt.Errorf("an answer of more than %d MiB", maxAnswer>>20)
	}
	if err := b.follow(p[:n]); err != nil {
		return 0, err
	}
	return n, err
}

// follow reads from the heads of messages how long they are.
func (b *bounded) follow(p []byte) error {
	for len(p) > 0 {
		if b.rest > 0 {
			n := min(b.rest, len(p))
			p, b.rest = p[n:], b.rest-n
			continue
		}
		b.head[b.have] = p[0]
		b.have++
		p = p[1:]
		length, err := messageLength(b.head[:b.have])
		if err != nil {
			return err
		}
		if length >= 0 {
			b.rest, b.have = length, 0
		}
	}
	return nil
}

// messageLength returns how many bytes follow the head of a message, or -1 where
// the head is not all there. RFC 4511, section 5.1: a length is always told.
func messageLength(head []byte) (int, error) {
	const sequence, long, longest = 0x30, 0x80, 0x84
	switch {
	case head[0] != sequence:
		return 0, errors.New("what comes is not LDAP")
	case len(head) == 1:
		return -1, nil
	case head[1] < long:
		return int(head[1]), nil
	case head[1] == long || head[1] > longest:
		return 0, errors.New("what comes is not LDAP: a message without a length")
	case len(head) < 2+int(head[1]&^long):
		return -1, nil
	}
	length := 0
	for _, b := range head[2:] {
		length = length<<8 | int(b)
	}
	if length > maxMessage {
		return 0, fmt.Errorf("a message of more than %d KiB", maxMessage>>10)
	}
	return length, nil
}
