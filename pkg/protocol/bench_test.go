package protocol_test

import (
	"encoding/json"
	"testing"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

const publishLine = `{"id":3,"op":"publish","channel":"/chat/lobby","data":{"text":"hello, this is a message of some length","n":12345},"key":"0d1f9be2a64c47f18a5d3c0e7b1f2a96","first":1790000000000,"prev":"0d1f9be2a64c47f18a5d3c0e7b1f2a95"}`

func BenchmarkParsePublish(b *testing.B) { benchmarkCommand(b, publishLine) }
func BenchmarkParseAck(b *testing.B)     { benchmarkCommand(b, `{"op":"ack","last":{"/chat/lobby":1241}}`) }
func BenchmarkParsePong(b *testing.B)    { benchmarkCommand(b, `{"op":"pong"}`) }

func benchmarkCommand(b *testing.B, line string) {
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	in := []byte(line)
	for b.Loop() {
		if _, err := protocol.ParseCommand(in, protocol.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncodingJSON is what the scanner is measured against.
func BenchmarkEncodingJSON(b *testing.B) {
	b.ReportAllocs()
	in := []byte(publishLine)
	for b.Loop() {
		var c struct {
			ID                     uint64
			Op, Channel, Key, Prev string
			Data                   json.RawMessage
			First                  int64
		}
		if err := json.Unmarshal(in, &c); err != nil {
			b.Fatal(err)
		}
	}
}

var benchMessage = message.Message{
	Channel: "/chat/lobby", Publisher: "alice", Offset: 1241, Previous: 1236, Time: 1790000000123,
	Data: []byte(`{"text":"hello, this is a message of some length","n":12345}`),
}

func BenchmarkAppendMessage(b *testing.B) {
	b.ReportAllocs()
	dst := make([]byte, 0, 1024)
	for b.Loop() {
		dst = protocol.AppendMessage(dst[:0], &benchMessage, false)
	}
}

func BenchmarkParseMessage(b *testing.B) {
	b.ReportAllocs()
	line := protocol.AppendMessage(nil, &benchMessage, false)
	for b.Loop() {
		if _, err := protocol.Parse(line); err != nil {
			b.Fatal(err)
		}
	}
}

func TestEncodersAllocateNothing(t *testing.T) {
	dst := make([]byte, 0, 4096)
	refused := message.Errorf(message.Forbidden, "no")
	connected := protocol.Connected{Session: "s", Secret: "t", Subs: []protocol.Sub{{Channel: "/a", Offset: 1}}}
	for name, encode := range map[string]func(){
		"message":   func() { protocol.AppendMessage(dst, &benchMessage, true) },
		"at":        func() { protocol.AppendAt(dst, "/a", 1) },
		"gap":       func() { protocol.AppendGap(dst, "/a", 1, 2, "expired") },
		"error":     func() { protocol.AppendError(dst, 1, refused) },
		"published": func() { protocol.AppendPublished(dst, 1, 2, 3, true) },
		"connected": func() { protocol.AppendConnected(dst, 1, &connected) },
		"done":      func() { protocol.AppendDone(dst, 1) },
		"bye":       func() { protocol.AppendBye(dst, protocol.ByeRestart, 1) },
	} {
		if n := testing.AllocsPerRun(100, encode); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
