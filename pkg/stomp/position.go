package stomp

import (
	"strconv"
	"strings"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// appendID appends a message-id: epoch and offset, as the id of an sse event.
func appendID(dst []byte, p message.Position) []byte {
	dst = append(append(dst, p.Epoch.String()...), '-')
	return strconv.AppendUint(dst, uint64(p.Offset), 10)
}

func appendNumber(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// parseID reads a message-id. An offset of 0 needs no epoch; an epoch of another form
// is one of another history.
func parseID(text string) (p message.Position, ok bool) {
	epoch, offset, both := strings.Cut(text, "-")
	if !both {
		epoch, offset = "", text
	}
	n, err := strconv.ParseUint(offset, 10, 53)
	if err != nil || !both && n != 0 {
		return p, false
	}
	p.Offset = message.Offset(n)
	if p.Epoch, err = message.ParseEpoch(epoch); err != nil {
		p.Epoch = protocol.NoSuchEpoch
	}
	return p, true
}

// parseAck reads the header ack of a MESSAGE: the number of the subscription and the
// offset.
func parseAck(text string) (number int, offset message.Offset, ok bool) {
	first, second, both := strings.Cut(text, "-")
	n, err1 := strconv.ParseUint(first, 10, 31)
	o, err2 := strconv.ParseUint(second, 10, 53)
	return int(n), message.Offset(o), both && err1 == nil && err2 == nil
}
