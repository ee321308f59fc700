package transport

import (
	"net/http"

	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// StreamPath is where streams of lines begin.
const StreamPath = "/v1/stream"

const ndjson = "application/x-ndjson"

// lines is the shape of stream and poll: an object a line. As a hub.Format it is
// that of their messages.
type lines struct{}

// Append appends m as a line.
func (lines) Append(dst []byte, m *message.Message, redelivered bool) []byte {
	return append(protocol.AppendMessage(dst, m, redelivered), '\n')
}

func (l lines) format() hub.Format { return l }

func (lines) object(dst []byte, _ string, build func([]byte) []byte) []byte {
	return append(build(dst), '\n')
}

// serveStream answers a request whose body is commands with an answer that does
// not end.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request) {
	s.openDown(w, r, ndjson, &down{shape: lines{}})
}

// openDown reads the commands that a connection begins with, and parks it.
func (s *Server) openDown(w http.ResponseWriter, r *http.Request, contentType string, d *down) {
	proof, err := s.identify(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if d.asks.commands, err = s.readCommands(w, r); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", contentType)
	s.carry(w, r, proof, d)
}
