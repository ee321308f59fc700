package protocol_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/orbitd/orbitd/pkg/protocol"
)

func seed(f *testing.F, kinds ...string) {
	for _, kind := range kinds {
		for _, line := range vectors(f, kind) {
			f.Add([]byte(line))
		}
	}
}

// Whatever is accepted is JSON for encoding/json too, and survives the way
// through the client's encoder unchanged, as one line.
func FuzzCommand(f *testing.F) {
	seed(f, "command", "refused")
	f.Fuzz(func(t *testing.T, line []byte) {
		c, refused := protocol.ParseCommand(line, protocol.Limits{})
		if refused != nil {
			return
		}
		if !json.Valid(line) {
			t.Fatalf("accepted %q, which is not JSON", line)
		}
		again := protocol.AppendCommand(nil, &c)
		if !json.Valid(again) || bytes.ContainsAny(again, "\r\n") {
			t.Fatalf("%q became %q", line, again)
		}
		c2, refused := protocol.ParseCommand(again, protocol.Limits{MaxMessage: len(again)})
		if refused != nil {
			t.Fatalf("%q became %q, which is refused: %v", line, again, refused)
		}
		normalize(&c)
		normalize(&c2)
		if !reflect.DeepEqual(c, c2) {
			t.Fatalf("%q\nis  %+v\nthen %+v", line, c, c2)
		}
	})
}

// normalize drops what an encoder leaves out because it says nothing.
func normalize(c *protocol.Command) {
	if len(c.Headers) == 0 {
		c.Headers = nil
	}
	if len(c.Auth) == 0 {
		c.Auth = nil
	}
	if len(c.Last) == 0 {
		c.Last = nil
	}
}

// Whatever is understood as a server's object survives the way through the
// server's encoders unchanged, as one line.
func FuzzObject(f *testing.F) {
	seed(f, "reply", "push")
	f.Fuzz(func(t *testing.T, line []byte) {
		o, err := protocol.Parse(line)
		if err != nil || o.Kind == protocol.KindOther {
			return
		}
		if !json.Valid(line) {
			t.Fatalf("accepted %q, which is not JSON", line)
		}
		again := encode(nil, &o)
		if !json.Valid(again) || !utf8.Valid(again) || bytes.ContainsAny(again, "\r\n") {
			t.Fatalf("%q became %q", line, again)
		}
		o2, err := protocol.Parse(again)
		if err != nil {
			t.Fatalf("%q became %q, which is refused: %v", line, again, err)
		}
		third := encode(nil, &o2)
		if !bytes.Equal(again, third) {
			t.Fatalf("%q\nbecame %q\nthen   %q", line, again, third)
		}
	})
}

// Whatever encoding/json takes for a value is a payload, and the other way
// round, but for depth.
func FuzzPayload(f *testing.F) {
	seed(f, "push", "refused")
	f.Fuzz(func(t *testing.T, raw []byte) {
		data, refused := protocol.Payload(raw)
		if refused != nil {
			if json.Valid(raw) && utf8.Valid(raw) && bytes.Count(raw, []byte("["))+bytes.Count(raw, []byte("{")) <= protocol.MaxDepth {
				t.Fatalf("%q is JSON; refused: %v", raw, refused)
			}
			return
		}
		var want, got any
		if json.Unmarshal(raw, &want) != nil {
			return // encoding/json has limits of its own on numbers
		}
		if err := json.Unmarshal(data, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q became %q: %v", raw, data, err)
		}
		if bytes.ContainsAny(data, "\r\n\u2028\u2029") {
			t.Fatalf("%q breaks the line", data)
		}
	})
}
