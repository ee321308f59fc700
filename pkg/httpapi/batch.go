package httpapi

import (
	"errors"
	"net/http"
	"slices"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// Bounds of one call with many messages.
const (
	maxLines      = 10_000
	maxBatchBytes = 16 << 20
	// maxRefused is how many lines the engine may refuse one by one: the others
	// are a new batch each time. With one more, none of them is stored.
	maxRefused = 100
)

// A line is one line of a call with many messages, and what became of it.
type line struct {
	message message.Message
	receipt engine.Receipt
	err     error
}

// publishMany stores the messages of an NDJSON body: those that are not refused
// as one atomic batch. It answers each line, in their order.
func (a *API) publishMany(w http.ResponseWriter, r *http.Request) {
	who, err := a.who(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	text, err := body(w, r, maxBatchBytes, "send several")
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if who, err = a.still(r, who); err != nil {
		a.fail(w, r, err)
		return
	}
	lines, err := a.lines(who, text)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	a.storeLines(r, who, lines)
	if slices.ContainsFunc(lines, func(l line) bool { return isOverRate(l.err) }) {
		hold(r)
	}
	a.answerLines(w, lines)
}

// lines reads the body's lines, and judges each by itself: as far as that goes.
func (a *API) lines(who *broker.Who, body []byte) ([]line, error) {
	var lines []line
	limits := protocol.Limits{MaxMessage: a.Broker.MaxMessage()}
	for text := range protocol.Lines(body) {
		if len(lines) == maxLines {
			return nil, message.Errorf(message.TooLarge, "the body has more than %d lines; send several", maxLines)
		}
		c, wrong := protocol.ParsePublish(text, limits)
		if wrong != nil {
			lines = append(lines, line{err: wrong})
			continue
		}
		lines = append(lines, line{message: c.Message(), err: a.Broker.May(who, acl.Publish, c.Channel)})
	}
	if len(lines) == 0 {
		return nil, message.Errorf(message.BadRequest, "the body is empty; send one JSON object a line")
	}
	return lines, nil
}

// storeLines stores what is not refused. A line that is refused takes itself
// out, and the others are tried again as one batch.
func (a *API) storeLines(r *http.Request, who *broker.Who, lines []line) {
	for refusals := 0; ; refusals++ {
		left := slices.DeleteFunc(indexes(lines), func(i int) bool { return lines[i].err != nil })
		if len(left) == 0 {
			return
		}
		if refusals > maxRefused {
			failAll(lines, left, message.Errorf(message.TooLarge, "%d lines were refused; none of the others is stored: send them again without those", refusals))
			return
		}
		msgs := make([]message.Message, len(left))
		for k, i := range left {
			msgs[k] = lines[i].message
		}
		receipts, err := a.store(r, who, msgs)
		if err == nil {
			for k, i := range left {
				lines[i].receipt = receipts[k]
			}
			return
		}
		refused := message.AsError(err)
		if errors.Is(err, engine.ErrQuota) { // of one application; the others are not to suffer
			app := lines[left[refused.Index]].message.Channel.App()
			failAll(lines, slices.DeleteFunc(left, func(i int) bool { return lines[i].message.Channel.App() != app }), refused)
			continue
		}
		if !itsOwn(refused.Code) {
			failAll(lines, left, refused)
			return
		}
		lines[left[refused.Index]].err = refused
	}
}

func failAll(lines []line, left []int, err error) {
	for _, i := range left {
		lines[i].err = err
	}
}

// itsOwn reports whether an error is one message's own, and not the whole
// batch's.
func itsOwn(code message.Code) bool {
	switch code {
	case message.Forbidden, message.Conflict, message.KeyExpired, message.OutOfOrder, message.TooLarge, message.UnknownChannel, message.BadRequest:
		return true
	}
	return false
}

func indexes(lines []line) []int {
	all := make([]int, len(lines))
	for i := range all {
		all[i] = i
	}
	return all
}

func (a *API) answerLines(w http.ResponseWriter, lines []line) {
	epoch := a.Broker.Engine().Status().Epoch
	var out []byte
	for _, l := range lines {
		if l.err != nil {
			out = protocol.AppendError(out, 0, message.AsError(l.err))
		} else {
			out = protocol.AppendPublished(out, 0, l.receipt.Offset, epoch, l.receipt.Duplicate)
		}
		out = append(out, '\n')
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	_, _ = w.Write(out) // a peer that has gone does not read it
}
