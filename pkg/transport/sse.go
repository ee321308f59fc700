package transport

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
	"github.com/orbitd/orbitd/pkg/session"
)

// SSEPath is where streams of events begin.
const SSEPath = "/v1/sse"

const eventStream = "text/event-stream"

// events is the shape of sse: an object an event (WHATWG HTML, section 9.2). As a
// hub.Format it is that of their messages, whose id is their position in the
// engine's current run. JSON of package protocol has no line ends, and names and
// ids are the server's own: so an object is one event, whatever is in it.
type events struct{ epoch message.Epoch }

// Append appends m as an event. The id stands behind the data: a browser takes it
// with the event, but fetch-event-source as soon as it has the line, and would lose
// the message if the connection were cut in the data behind it.
func (e events) Append(dst []byte, m *message.Message, redelivered bool) []byte {
	dst = append(dst, "data: "...)
	dst = protocol.AppendMessage(dst, m, redelivered)
	dst = append(dst, '\n')
	dst = appendID(dst, message.Position{Epoch: e.epoch, Offset: m.Offset})
	return append(dst, '\n')
}

func (e events) format() hub.Format { return e }

func (events) object(dst []byte, event string, build func([]byte) []byte) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, event...)
	dst = append(dst, "\ndata: "...)
	return append(build(dst), "\n\n"...)
}

// appendID appends the id line of a position.
func appendID(dst []byte, p message.Position) []byte {
	dst = append(dst, "id: "...)
	dst = p.Epoch.AppendText(dst)
	dst = append(dst, '-')
	dst = strconv.AppendUint(dst, uint64(p.Offset), 10)
	return append(dst, '\n')
}

// appendRetry appends for how long an EventSource waits before it comes back.
func appendRetry(dst []byte, after time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, max(1, after.Milliseconds()), 10)
	return append(dst, '\n')
}

// appendOpeningRetry spreads out those who are cut off at the same moment.
func appendOpeningRetry(dst []byte) []byte {
	return appendRetry(dst, time.Second+rand.N(2*time.Second))
}

// A follow is what an EventSource asks for.
type follow struct {
	channels []channel.Name
	start    session.Start
}

// serveSSE answers with a stream of events: commands, or an EventSource without
// any library.
func (s *Server) serveSSE(w http.ResponseWriter, r *http.Request) {
	shape := events{s.broker.Engine().Status().Epoch}
	if r.Method == http.MethodPost {
		s.openDown(w, r, eventStream, &down{shape: shape})
		return
	}
	if r.ContentLength != 0 {
		s.fail(w, r, message.Errorf(message.BadRequest, "an EventSource's request has no body"))
		return
	}
	f, err := followOf(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	proof, err := s.identify(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", eventStream)
	s.carry(w, r, proof, &down{shape: shape, plain: true, asks: request{follow: f}})
}

// followOf reads an EventSource's request.
func followOf(r *http.Request) (*follow, error) {
	query := r.URL.Query()
	f := &follow{}
	for _, text := range query["channel"] {
		name, err := channel.Parse(text)
		if err != nil {
			return nil, message.Errorf(message.UnknownChannel, "%v", err)
		}
		f.channels = append(f.channels, name)
	}
	sorted := slices.Sorted(slices.Values(f.channels))
	switch {
	case len(sorted) == 0:
		return nil, message.Errorf(message.BadRequest, "name what to subscribe to: ?channel=/chat/lobby, once for each channel")
	case len(slices.Compact(sorted)) < len(f.channels):
		return nil, message.Errorf(message.BadRequest, "name each channel once")
	}
	return f, f.begin(query.Get("after"), r.Header.Get("Last-Event-ID"))
}

// begin reads where to start. An id that this server would not give is of another
// one, hence of another history; a parameter, a mistake.
func (f *follow) begin(after, last string) error {
	switch {
	case last != "":
		p, ok := parseID(last)
		if !ok {
			p = message.Position{Epoch: protocol.NoSuchEpoch, Offset: 1}
		}
		f.start = session.Start{After: p, Given: true}
	case after == "0":
		f.start = session.Start{Given: true}
	case after != "":
		p, ok := parseID(after)
		if !ok {
			return message.Errorf(message.BadRequest, "after is EPOCH-OFFSET, or 0 for the oldest message that is there")
		}
		f.start = session.Start{After: p, Given: true}
	}
	return nil
}

// parseID reads what appendID writes.
func parseID(text string) (p message.Position, ok bool) {
	epoch, offset, _ := strings.Cut(text, "-")
	e, err := message.ParseEpoch(epoch)
	if err != nil || e == 0 {
		return p, false
	}
	n, err := strconv.ParseUint(offset, 10, 64)
	if err != nil || n == 0 || message.Offset(n) > message.MaxOffset {
		return p, false
	}
	return message.Position{Epoch: e, Offset: message.Offset(n)}, true
}

// openFeed opens a session for an EventSource and sends it what it asks for.
func (d *down) openFeed(f *follow) {
	x := &d.exchange
	if asOf := x.rechecks(); x.arrival.who != nil && x.arrival.asOf != asOf {
		x.elsewhere(x.server().broker.Ask, func() func() {
			who, err := x.authenticate(*x.arrival.brings, nil)
			return func() {
				if err != nil {
					d.decline(err)
					return
				}
				x.arrival.who, x.arrival.asOf = who, asOf
				d.openFeed(f)
			}
		})
		return
	}
	r := session.Request{Who: x.arrival.who.On(x.arrival.page)}
	s, err := d.part.sessions.Create(r)
	if err != nil {
		d.decline(err)
		return
	}
	secret, _, _ := s.Attach(d, r)
	x.session, x.arrival = s, nil
	results := s.Follow(f.channels, f.start, d)
	if !slices.ContainsFunc(results, func(r session.Result) bool { return r.Err == nil }) {
		d.decline(results[0].Err)
		return
	}
	x.connected(&protocol.Command{}, secret, false, results)
	s.Start()
}

// decline answers an EventSource that gets nothing: with a status, after which it
// does not come back, unless it shall.
func (d *down) decline(err error) {
	if retry := retryAfter(err); retry > 0 {
		d.Bye(string(message.CodeOf(err)), retry)
		return
	}
	e := message.AsError(err)
	d.closed = true
	d.exchange.close()
	h := d.header
	d.header = nil
	h.Set("Content-Type", "application/json")
	body := append(protocol.AppendError(nil, 0, e), '\n')
	h.Set("Content-Length", strconv.Itoa(len(body)))
	d.wire.write(d.wire.begin(protocol.Status(e.Code), h), body)
	d.wire.finish(false)
}

// Mark tells an EventSource where it stands, without an event.
func (d *down) Mark(p message.Position) {
	d.send(d.part.memory.Cut(func(dst []byte) []byte { return append(appendID(dst, p), '\n') }))
}

// keepAlive sends something that is no news, so that nobody in between takes the
// connection for dead, nor its client the server.
func (d *down) keepAlive() {
	if !d.plain {
		d.queue(eventPing, protocol.AppendPing)
		return
	}
	d.send(d.part.memory.Cut(func(dst []byte) []byte { return append(dst, ":\n"...) }))
	if p, ok := d.exchange.session.Position(); ok {
		d.Mark(p)
	}
}
