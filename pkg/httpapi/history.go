package httpapi

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/gzipped"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// history answers with the newest messages of a channel below an offset.
func (a *API) history(w http.ResponseWriter, r *http.Request) {
	b, err := a.past(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	body := protocol.AppendHistory(nil, 0, b.Epoch, b.Messages, b.More)
	w.Header().Add("Vary", "Accept-Encoding")
	if a.CompressFrom == 0 || len(body) < a.CompressFrom || !gzipped.Accepted(r.Header) {
		reply(w, http.StatusOK, body)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write(a.packer.Append(nil, apart(append(body, '\n'), b.Messages)...)) // a peer that has gone does not read it
}

// apart returns the parts of a history, each message by itself: they are of several
// publishers, who shall learn nothing of each other by the size of what is compressed.
func apart(body []byte, messages []message.Message) [][]byte {
	at := bytes.IndexByte(body, '[') + 1
	parts := [][]byte{body[:at]}
	var scratch []byte
	for i := range messages {
		scratch = protocol.AppendMessage(scratch[:0], &messages[i], false)
		end := at + len(scratch) + 1 // with the comma, or the bracket, behind it
		parts = append(parts, body[at:end])
		at = end
	}
	return append(parts, body[at:])
}

func (a *API) past(r *http.Request) (engine.Batch, error) {
	name, err := pathChannel(r, historyPath)
	if err != nil {
		return engine.Batch{}, err
	}
	before, err := number(r, "before", 0, 0, int64(message.MaxOffset))
	if err != nil {
		return engine.Batch{}, err
	}
	limit, err := number(r, "limit", protocol.DefaultHistory, 1, protocol.MaxHistory)
	if err != nil {
		return engine.Batch{}, err
	}
	who, err := a.who(r)
	if err != nil {
		return engine.Batch{}, err
	}
	b, err := a.Broker.History(r.Context(), who, name, message.Offset(before), int(limit))
	if err != nil {
		return engine.Batch{}, err
	}
	if who, err = a.still(r, who); err != nil {
		return engine.Batch{}, err
	}
	return b, a.Broker.May(who, acl.Subscribe, name)
}

// number returns a parameter of the query, or what holds without it.
func number(r *http.Request, name string, otherwise, least, most int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, message.Errorf(message.BadRequest, "%s is a number from %d to %d", name, least, most)
	}
	return n, nil
}
