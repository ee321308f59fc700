package transport

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// Whatever stands in a message, it is one event, with the id and the name that the
// server gives it and none of its own.
func TestNothingCanBeInjected(t *testing.T) {
	shape := events{message.Epoch(0x9f86d081884c7d65)}
	check := func(name, by, ct, hn, hv, text string, data []byte, offset uint32, asJSON bool) bool {
		m := message.Message{
			Channel: channel.Name(name), Publisher: by, Headers: []message.Header{{Name: hn, Value: hv}},
			Data: data, ContentType: ct + "x", Offset: message.Offset(offset),
		}
		if asJSON {
			m.ContentType = ""
			value, _ := json.Marshal(string(data))                                      // cannot fail
			m.Data = slices.Concat([]byte("{\r\"a\":\n\n"), value, []byte("\r\n\r\n}")) // as a publisher may write it
		}
		e := &message.Error{Code: message.Code(by), Text: text}
		stream := shape.Append(nil, &m, false)
		for _, build := range []func([]byte) []byte{
			func(dst []byte) []byte { return protocol.AppendError(dst, 1, e) },
			func(dst []byte) []byte { return protocol.AppendRevoked(dst, m.Channel, e) },
			func(dst []byte) []byte { return protocol.AppendGap(dst, m.Channel, 1, 2, text) },
			func(dst []byte) []byte { return protocol.AppendBye(dst, message.Code(text), 0) },
			func(dst []byte) []byte { return protocol.AppendAuthenticated(dst, 1, by) },
			func(dst []byte) []byte {
				return protocol.AppendConnected(dst, 1, &protocol.Connected{User: by, Session: hn, Secret: hv, Subs: []protocol.Sub{{Channel: m.Channel, Err: e}}})
			},
		} {
			stream = shape.object(stream, eventReply, build)
		}
		s := &source{in: bufio.NewReader(bytes.NewReader(stream))}
		id := fmt.Sprintf("9f86d081884c7d65-%d", offset)
		for i := range 7 {
			got, err := s.next()
			if err != nil || got.id != id || got.name != []string{"", eventReply}[min(i, 1)] || strings.ContainsAny(got.data, "\r\n") {
				t.Logf("event %d is %+v, %v", i, got, err)
				return false
			}
		}
		_, err := s.next()
		return err != nil && s.retry == "" && s.comments == 0
	}
	must(t, quick.Check(check, &quick.Config{MaxCount: 3000}))
	nasty := []string{"\r", "\n", "\r\n", "\x00", "\n\nevent: x\ndata: y\n\n", "\r\rid: 1\r\r", "\n:\n", "\u2028", "\xff\n", "retry: 1\n"}
	for _, x := range nasty {
		for _, asJSON := range []bool{false, true} {
			if !check("/a"+x, x, x, x, x, x, []byte(x), 7, asJSON) {
				t.Errorf("%q gets through", x)
			}
		}
	}
}

// TestSSEVectors frames what PROTOCOL.md shows, byte for byte.
func TestSSEVectors(t *testing.T) {
	text := strings.Join(vectors(t, "sse"), "\n") + "\n"
	shape := events{message.Epoch(0x9f86d081884c7d65)}
	s := &source{in: bufio.NewReader(strings.NewReader(text))}
	for block := range strings.SplitAfterSeq(text, "\n\n") {
		if strings.TrimSpace(block) == "" {
			continue
		}
		var framed []byte
		data, isEvent := field(block, "data")
		name, _ := field(block, "event")
		if retry, ok := field(block, "retry"); ok {
			n, err := time.ParseDuration(retry + "ms")
			must(t, err)
			framed = appendRetry(framed, n)
		}
		if strings.HasPrefix(block, ":") {
			framed = append(framed, ":\n"...)
		}
		switch {
		case isEvent && name == "":
			o, err := protocol.Parse([]byte(data))
			must(t, err)
			framed = shape.Append(framed, &o.Message, o.Redelivered)
		case isEvent:
			framed = shape.object(framed, name, func(dst []byte) []byte { return append(dst, data...) })
		default:
			id, _ := field(block, "id")
			p, ok := parseID(id)
			if !ok {
				t.Fatalf("%q has no position", block)
			}
			framed = append(appendID(framed, p), '\n')
		}
		if string(framed) != block {
			t.Errorf("framed %q, want %q", framed, block)
		}
	}
	var names []string
	for {
		event, err := s.next()
		if err != nil {
			break
		}
		names = append(names, event.name)
	}
	if want := []string{eventOpen, "", eventGap, eventRevoked, eventBye}; !slices.Equal(names, want) {
		t.Errorf("the events are %q", names)
	}
}

// field returns the value of a line of a block.
func field(block, name string) (value string, ok bool) {
	for line := range strings.Lines(block) {
		if value, ok = strings.CutPrefix(line, name+": "); ok {
			return strings.TrimSuffix(value, "\n"), true
		}
	}
	return "", false
}
