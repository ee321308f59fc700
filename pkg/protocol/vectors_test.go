package protocol_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// vectors returns the lines of PROTOCOL.md's blocks of one kind: they are the
// contract, so none of a kind means that the document or this reader is broken.
func vectors(t testing.TB, kind string) []string {
	t.Helper()
	text, err := os.ReadFile("../../PROTOCOL.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			_, name, _ := strings.Cut(line, " ")
			inside = !inside && name == kind
		case inside:
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("PROTOCOL.md has no %q vectors", kind)
	}
	return lines
}

func equalJSON(t *testing.T, got []byte, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%s: %v", got, err)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%s: %v", want, err)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestVectorsOfCommands(t *testing.T) {
	seen := map[protocol.Op]bool{}
	for _, line := range vectors(t, "command") {
		c, err := protocol.ParseCommand([]byte(line), protocol.Limits{})
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		seen[c.Op] = true
		equalJSON(t, protocol.AppendCommand(nil, &c), line)
	}
	if len(seen) != 9 {
		t.Errorf("the vectors have the ops %v; want all nine", seen)
	}
}

func TestVectorsOfReplies(t *testing.T) { checkObjects(t, "reply") }
func TestVectorsOfPushes(t *testing.T)  { checkObjects(t, "push") }

func checkObjects(t *testing.T, kind string) {
	for _, line := range vectors(t, kind) {
		o, err := protocol.Parse([]byte(line))
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if o.Kind == protocol.KindOther {
			t.Errorf("%s: not recognized", line)
			continue
		}
		equalJSON(t, encode(nil, &o), line)
	}
}

// encode is the server's encoder for what Parse returned.
func encode(dst []byte, o *protocol.Object) []byte {
	switch o.Kind {
	case protocol.KindDone:
		return protocol.AppendDone(dst, o.Re)
	case protocol.KindConnected:
		return protocol.AppendConnected(dst, o.Re, o.Connected)
	case protocol.KindOffset:
		return protocol.AppendPublished(dst, o.Re, o.Offset, o.Epoch, o.Duplicate)
	case protocol.KindUser:
		return protocol.AppendAuthenticated(dst, o.Re, o.User)
	case protocol.KindHistory:
		return protocol.AppendHistory(dst, o.Re, o.Epoch, o.Messages, o.More)
	case protocol.KindError:
		return protocol.AppendError(dst, o.Re, o.Err)
	case protocol.KindMessage:
		return protocol.AppendMessage(dst, &o.Message, o.Redelivered)
	case protocol.KindAt:
		return protocol.AppendAt(dst, o.Channel, o.Offset)
	case protocol.KindGap:
		return protocol.AppendGap(dst, o.Channel, o.After, o.Offset, o.Reason)
	case protocol.KindRevoked:
		return protocol.AppendRevoked(dst, o.Channel, o.Err)
	case protocol.KindBye:
		return protocol.AppendBye(dst, o.Code, o.Retry)
	case protocol.KindPing:
		return protocol.AppendPing(dst)
	case protocol.KindPong:
		return protocol.AppendPong(dst)
	}
	return dst
}

func TestVectorsOfLines(t *testing.T) {
	for _, line := range vectors(t, "line") {
		c, err := protocol.ParsePublish([]byte(line), protocol.Limits{})
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		equalJSON(t, protocol.AppendCommand(nil, &c), strings.Replace(line, "{", `{"op":"publish",`, 1))
	}
}

func TestVectorsOfRefusals(t *testing.T) {
	for _, line := range vectors(t, "refused") {
		code, input, _ := strings.Cut(line, " ")
		c, err := protocol.ParseCommand([]byte(input), protocol.Limits{})
		if err == nil {
			t.Errorf("%s: accepted as %+v", input, c)
			continue
		}
		if err.Code != message.Code(code) {
			t.Errorf("%s: %v; want %s", input, err, code)
		}
		if strings.HasPrefix(input, `{"id":1,`) && strings.HasSuffix(input, "}") && c.ID != 1 {
			t.Errorf("%s: refused without its id", input)
		}
	}
}
