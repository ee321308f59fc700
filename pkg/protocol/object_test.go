package protocol_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// hostile holds what must not get out of a string.
const hostile = "\x00\x1f\r\n\"\\/\u2028\u2029\u0085é😀<script>\xff\xed\xa0\x80"

func TestTextsCannotBreakTheLine(t *testing.T) {
	e := message.Errorf(message.Internal, "%s", hostile)
	m := message.Message{
		Channel: "/a", Publisher: hostile, ContentType: hostile, Data: []byte(hostile),
		Headers: []message.Header{{Name: hostile, Value: hostile}},
	}
	j := message.Message{Channel: "/a", Data: []byte("{\r\n\"a\":1}")}
	for _, line := range [][]byte{
		protocol.AppendMessage(nil, &m, true),
		protocol.AppendMessage(nil, &j, false),
		protocol.AppendMessage(nil, &message.Message{}, false),
		protocol.AppendError(nil, 1, e),
		protocol.AppendRevoked(nil, "/a", e),
		protocol.AppendGap(nil, "/a", 1, 2, hostile),
		protocol.AppendBye(nil, hostile, time.Microsecond),
		protocol.AppendAuthenticated(nil, 1, hostile),
		protocol.AppendConnected(nil, 1, &protocol.Connected{Session: hostile, Subs: []protocol.Sub{{Channel: "/a", Err: e}}}),
		protocol.AppendCommand(nil, &protocol.Command{Op: protocol.OpConnect, Token: hostile}),
	} {
		if !json.Valid(line) || !utf8.Valid(line) || bytes.ContainsAny(line, "\r\n\u2028\u2029") {
			t.Errorf("%q", line)
		}
	}
}

func TestTextsComeBack(t *testing.T) {
	text, _, _ := strings.Cut(hostile, "\xff")
	m := message.Message{
		Channel: "/a", Publisher: text, Offset: 2, Previous: 1, Time: 3, ContentType: "x/y", Data: []byte(hostile),
		Headers: []message.Header{{Name: text, Value: text}, {Name: "b", Value: ""}},
	}
	o, err := protocol.Parse(protocol.AppendMessage(nil, &m, true))
	if err != nil || !o.Redelivered || !reflect.DeepEqual(o.Message, m) {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestOverHTTPThereIsNoRe(t *testing.T) {
	for want, got := range map[string][]byte{
		`{"offset":7,"epoch":"0000000000000001"}`:        protocol.AppendPublished(nil, 0, 7, 1, false),
		`{"epoch":"0000000000000001","messages":[]}`:     protocol.AppendHistory(nil, 0, 1, nil, false),
		`{"error":{"code":"conflict","message":"no"}}`:   protocol.AppendError(nil, 0, message.Errorf(message.Conflict, "no")),
		`{"re":3,"offset":0,"epoch":"0000000000000001"}`: protocol.AppendSubscribed(nil, 3, 0, 1),
		`{"bye":{"code":"restart","retry":1}}`:           protocol.AppendBye(nil, protocol.ByeRestart, time.Microsecond),
		`{"bye":{"code":"displaced"}}`:                   protocol.AppendBye(nil, protocol.ByeDisplaced, 0),
	} {
		if string(got) != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{
		``, `[]`, `{"re":-1}`, `{"ch":"/a","o":1,"p":0,"t":1}`, `{"ch":"/a","o":1,"p":0,"t":1,"b":"?","ct":"x/y"}`,
		`{"ch":"/a","o":1,"p":0,"t":1,"b":""}`, `{"ch":"/a","gap":{"after":1}}`, `{"ch":5,"at":1}`, `{"error":{}}`,
		`{"bye":{"code":"x","retry":9007199254740991000}}`, `{"re":1,"offset":1,"epoch":"x"}`, `{"re":1,"messages":{}}`,
	} {
		if o, err := protocol.Parse([]byte(line)); err == nil {
			t.Errorf("%s: accepted as %+v", line, o)
		}
	}
	for _, line := range []string{`{}`, `{"ch":"/a","new":1}`, `{"op":"new"}`, `{"new":{}}`} {
		if o, err := protocol.Parse([]byte(line)); err != nil || o.Kind != protocol.KindOther {
			t.Errorf("%s: %+v, %v; want an object to ignore", line, o, err)
		}
	}
}
