package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// pathChannel returns the channel that the request's path names behind a call's.
func pathChannel(r *http.Request, call string) (channel.Name, error) {
	if strings.Contains(strings.ToLower(r.URL.RawPath), "%2f") { // a proxy's rules take it for one segment
		return "", message.Errorf(message.UnknownChannel, "write the slashes of a channel as they are, not as %%2F")
	}
	name, err := channel.Parse("/" + strings.TrimPrefix(r.URL.Path, call))
	if err != nil {
		return "", message.Errorf(message.UnknownChannel, "%v", err)
	}
	return name, nil
}

// publish stores one message: the body.
func (a *API) publish(w http.ResponseWriter, r *http.Request) {
	receipts, err := a.publishOne(w, r)
	if err != nil {
		if isOverRate(err) {
			hold(r)
		}
		a.fail(w, r, err)
		return
	}
	epoch := a.Broker.Engine().Status().Epoch
	reply(w, http.StatusOK, protocol.AppendPublished(nil, 0, receipts[0].Offset, epoch, receipts[0].Duplicate))
}

func (a *API) publishOne(w http.ResponseWriter, r *http.Request) ([]engine.Receipt, error) {
	m, err := headerMessage(r)
	if err != nil {
		return nil, err
	}
	who, err := a.who(r)
	if err != nil {
		return nil, err
	}
	// Who may not publish is told before the body, and judged again behind it.
	if err := a.Broker.MayPublish(who, m.Channel); err != nil {
		return nil, err
	}
	if m.Data, err = body(w, r, a.Broker.MaxMessage(), "session.max_message"); err != nil {
		return nil, err
	}
	if err := setPayload(&m, r.Header.Get("Content-Type")); err != nil {
		return nil, err
	}
	if who, err = a.still(r, who); err != nil {
		return nil, err
	}
	return a.store(r, who, []message.Message{m})
}

// headerMessage returns what path and headers say of a message.
func headerMessage(r *http.Request) (m message.Message, err error) {
	if m.Channel, err = pathChannel(r, publishPath); err != nil {
		return m, err
	}
	if m.Key, err = headerKey(r, "Idempotency-Key"); err != nil {
		return m, err
	}
	if m.Predecessor, err = headerKey(r, "Orbit-Previous-Key"); err != nil {
		return m, err
	}
	if m.Predecessor != "" && m.Key == "" {
		return m, message.Errorf(message.BadRequest, "Orbit-Previous-Key needs an Idempotency-Key")
	}
	if first := r.Header.Get("Orbit-First"); first != "" {
		if m.First, err = strconv.ParseInt(first, 10, 64); err != nil || m.First < 0 || m.First > protocol.MaxInteger {
			return m, message.Errorf(message.BadRequest, "Orbit-First is a time in Unix milliseconds")
		}
	}
	return m, nil
}

// headerKey returns a key, or nothing where the header is not there. One that is
// there and no key is a mistake: without it the publish would not be idempotent.
func headerKey(r *http.Request, name string) (string, error) {
	lines := r.Header.Values(name)
	switch {
	case len(lines) == 0:
		return "", nil
	case len(lines) > 1 || lines[0] == "" || len(lines[0]) > protocol.MaxKey || !utf8.ValidString(lines[0]):
		return "", message.Errorf(message.BadRequest, "%s is one key of 1 to %d bytes, in UTF-8", name, protocol.MaxKey)
	}
	return lines[0], nil
}

// body reads a body of at most limit bytes; why is where the limit is from.
func body(w http.ResponseWriter, r *http.Request, limit int, why string) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, message.Errorf(message.TooLarge, "the body has more than %d bytes (%s)", tooLarge.Limit, why)
	}
	if e, ok := errors.AsType[*message.Error](err); ok {
		return nil, e // the server's own, see httpserver
	}
	if err != nil {
		return nil, message.Errorf(message.BadRequest, "the body could not be read to its end").Because(err)
	}
	return b, nil
}

// setPayload gives m its data the form of its content type: JSON where that is
// what it says, or where it says nothing.
func setPayload(m *message.Message, contentType string) error {
	if contentType == "" {
		contentType = "application/json"
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || !protocol.ValidContentType(contentType) {
		return message.Errorf(message.BadRequest, "malformed Content-Type")
	}
	if media == "application/x-www-form-urlencoded" || media == "multipart/form-data" {
		return message.Errorf(message.BadRequest, "a form is not a payload; send JSON (curl: --json and not -d), or name the body's own Content-Type")
	}
	if media != "application/json" {
		m.ContentType = contentType
		return nil
	}
	data, wrong := protocol.Payload(m.Data)
	if wrong != nil {
		return message.Errorf(message.BadRequest, "the body is not one JSON value: %s; send JSON, or name another Content-Type", wrong.Text)
	}
	m.Data = data
	return nil
}

// store publishes and waits for the answer, which comes whether or not the
// caller is still there.
func (a *API) store(r *http.Request, who *broker.Who, msgs []message.Message) ([]engine.Receipt, error) {
	type answer struct {
		receipts []engine.Receipt
		err      error
	}
	answered := make(chan answer, 1)
	a.Broker.Publish(who, msgs, func(receipts []engine.Receipt, err error) { answered <- answer{receipts, err} })
	select {
	case got := <-answered:
		return got.receipts, got.err
	case <-r.Context().Done():
		return nil, message.Errorf(message.Unknown, "the call ended before the answer; retry with the same key to settle it")
	}
}

func isOverRate(err error) bool { return message.CodeOf(err) == message.RateLimited }

// overRateHold is how long the answer to a call takes that an application's rate refuses.
const overRateHold = 100 * time.Millisecond

// hold has a caller wait who comes faster than its application's rate: one that tries
// again at once is not to take the processors from the others.
func hold(r *http.Request) {
	select {
	case <-time.After(overRateHold):
	case <-r.Context().Done():
	}
}
