package local

import (
	"bytes"
	"encoding/hex"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// What the vectors of FORMAT.md are made of.
const sampleTime = 1_700_000_000_000

func sampleMessage() message.Message {
	return message.Message{
		Channel: "/a/b", Publisher: "alice", ContentType: "text/plain", Key: "k",
		Headers: []message.Header{{Name: "n", Value: "v"}}, Data: []byte("hello"),
	}
}

func sampleSession() engine.Session {
	s := engine.Session{
		Realm: "r", User: "alice", Name: "s", TTL: time.Second, Seen: sampleTime,
		Subscriptions: []engine.Subscription{{
			Channel: "/a/b", ID: "7", Options: []byte("opt"),
			Cursor: engine.Cursor{Position: message.Position{Epoch: 0x0102030405060708, Offset: 300}, Above: []message.Offset{302, 305}},
		}},
	}
	for i := range s.Key {
		s.Key[i] = byte(i)
	}
	for i := range s.Secrets {
		copy(s.Secrets[i][:], bytes.Repeat([]byte{byte(i + 1)}, 32))
	}
	return s
}

// sampleEngine is one that has what the checkpoint says, and nothing else.
func sampleEngine(t *testing.T) *Engine {
	e := open(t, Options{FS: vfs.NewMem()})
	if err := e.Close(t.Context()); err != nil { // its state is the test's now
		t.Fatal(err)
	}
	e.latest.Store(sampleTime)
	e.forgotten = 5
	c := e.channel("/a/b")
	c.stored, c.gone = 300, 7
	m := sampleMessage()
	e.seq.keys.dropped = 9
	e.seq.keys.put(scopeOf(&m, m.Key), keyed{contentOf(&m), 300, sampleTime, false})
	e.seq.sessions.put(newSession(sampleSession()))
	return e
}

// vectors returns FORMAT.md's, by name.
func vectors(t *testing.T) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ = bytes.Cut(text, []byte("\n## Vectors\n"))
	all := map[string][]byte{}
	for _, found := range regexp.MustCompile("(?s)\n```(\\w+)\n(.*?)```\n").FindAllSubmatch(text, -1) {
		b, err := hex.DecodeString(strings.Join(strings.Fields(string(found[2])), ""))
		if err != nil {
			t.Fatalf("%s: %v", found[1], err)
		}
		all[string(found[1])] = b
	}
	return all
}

// The program writes what the document shows, and reads it.
func TestVectors(t *testing.T) {
	v := vectors(t)
	m, s := sampleMessage(), sampleSession()
	moved := &session{Session: s, moved: []bool{true}}
	for name, written := range map[string][]byte{
		"message":    appendMessage(nil, &m),
		"after":      appendMessage(appendInt(nil, 300), &m),
		"session":    appendSession(nil, &s),
		"moves":      moved.appendMoves(nil),
		"checkpoint": sampleEngine(t).checkpointBody(),
	} {
		if !bytes.Equal(written, v[name]) {
			t.Errorf("%s: written is\n%x\nthe document has\n%x", name, written, v[name])
		}
	}
	for name, rec := range map[string]*seglog.Record{
		"message": {Type: typeMessage, Prev: 300, Body: v["message"]},
		"after":   {Type: typeAfter, Prev: 2, Body: v["after"]},
	} {
		got, want := message.Message{Channel: "/a/b"}, m
		want.Previous = 300
		if err := decodeMessage(rec, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: read is %+v, %v", name, got, err)
		}
	}
	e := open(t, Options{FS: vfs.NewMem()})
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.latest.Store(0) // its clock shows a later time than the vector's
	if err := e.restoreCheckpoint(v["checkpoint"]); err != nil {
		t.Fatal(err)
	}
	want := e.checkpointBody()
	s.Subscriptions[0].Cursor = engine.Cursor{}
	for _, rec := range []*seglog.Record{
		{Type: typeSession, Body: appendSession(nil, &s)},
		{Type: typeMoves, Body: v["moves"]},
	} {
		if err := e.restoreRecord(rec); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(want, v["checkpoint"]) || !bytes.Equal(e.checkpointBody(), want) {
		t.Errorf("read is\n%x, and after a move\n%x", want, e.checkpointBody())
	}
}
