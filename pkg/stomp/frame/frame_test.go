package frame_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

var limits = frame.Limits{Headers: 100, Line: 8 << 10, Body: 1 << 16}

// A plain is a frame that outlives its decoder.
type plain struct {
	command frame.Command
	headers string
	body    string
}

func copied(f *frame.Frame) plain {
	var h strings.Builder
	for _, one := range f.Headers {
		fmt.Fprintf(&h, "%q=%q ", one.Name, one.Value)
	}
	return plain{f.Command, strings.TrimSpace(h.String()), string(f.Body)}
}

// decode feeds pieces, each in memory that is overwritten afterwards.
func decode(v frame.Version, l frame.Limits, pieces ...string) (all []plain, partial bool, err error) {
	d := frame.Decoder{Version: v, Limits: l}
	for _, piece := range pieces {
		b := []byte(piece)
		for rest := b; len(rest) > 0; {
			f, n, err := d.Next(rest)
			if err != nil {
				return all, d.Partial(), err
			}
			if f != nil {
				all = append(all, copied(f))
			}
			rest = rest[n:]
		}
		for i := range b {
			b[i] = 'X'
		}
	}
	return all, d.Partial(), nil
}

const versions = "\x00\x01\x02\x03"

func TestDecode(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		on   string // versions
		in   string
		want []plain
	}{
		"send":                   {versions, "SEND\ndestination:/a\n\nhi\x00", []plain{{"SEND", `"destination"="/a"`, "hi"}}},
		"line feeds between":     {versions, "\n\n\nABORT\ntransaction:t\n\n\x00\n\n\n", []plain{{"ABORT", `"transaction"="t"`, ""}}},
		"two at once":            {versions, "ABORT\n\n\x00ABORT\n\n\x00", []plain{{"ABORT", "", ""}, {"ABORT", "", ""}}},
		"carriage returns":       {"\x00\x03", "\r\nSEND\r\na:b\r\n\r\nx\r\n\x00\r\n", []plain{{"SEND", `"a"="b"`, "x\r\n"}}},
		"kept as data":           {"\x01\x02", "SEND\na:b\r\n\nx\x00", []plain{{"SEND", `"a"="b\r"`, "x"}}},
		"content-length":         {versions, "SEND\ncontent-length:3\n\na\x00b\x00", []plain{{"SEND", `"content-length"="3"`, "a\x00b"}}},
		"content-length zero":    {versions, "SEND\ncontent-length:0\n\n\x00", []plain{{"SEND", `"content-length"="0"`, ""}}},
		"the first counts":       {versions, "SEND\ncontent-length:1\ncontent-length:9\n\na\x00", []plain{{"SEND", `"content-length"="1" "content-length"="9"`, "a"}}},
		"a colon in the value":   {versions, "SEND\na:b:c\n\n\x00", []plain{{"SEND", `"a"="b:c"`, ""}}},
		"an empty value":         {versions, "SEND\na:\n\n\x00", []plain{{"SEND", `"a"=""`, ""}}},
		"escapes of 1.2":         {"\x03", `SEND` + "\n" + `a\c:\n\r\\\c` + "\n\n\x00", []plain{{"SEND", `"a:"="\n\r\\:"`, ""}}},
		"escapes of 1.1":         {"\x02", `SEND` + "\n" + `a\c:\n\\\c` + "\n\n\x00", []plain{{"SEND", `"a:"="\n\\:"`, ""}}},
		"none in 1.0":            {"\x01", `SEND` + "\n" + `a:\n\t\` + "\n\n\x00", []plain{{"SEND", `"a"="\\n\\t\\"`, ""}}},
		"spaces are kept":        {"\x02\x03", "SEND\na : b \n\n\x00", []plain{{"SEND", `"a "=" b "`, ""}}},
		"but in 1.0":             {"\x01", "SEND\na : b \n\n\x00", []plain{{"SEND", `"a"="b"`, ""}}},
		"CONNECT of 1.0":         {"\x00", "CONNECT\nlogin: x\n\n\x00", []plain{{"CONNECT", `"login"="x"`, ""}}},
		"CONNECT is not escaped": {versions, "CONNECT\naccept-version:1.2\nlogin: \\t\n\n\x00", []plain{{"CONNECT", `"accept-version"="1.2" "login"=" \\t"`, ""}}},
		"UTF-8":                  {versions, "SEND\nä:ö\n\nü\x00", []plain{{"SEND", `"ä"="ö"`, "ü"}}},
	}
	for name, test := range tests {
		for _, v := range test.on {
			v := frame.Version(v)
			got, partial, err := decode(v, limits, test.in)
			if err != nil || partial || !slices.Equal(got, test.want) {
				t.Errorf("%s, version %q: %q, %v, partial %v; want %q", name, v, got, err, partial, test.want)
			}
			for i := 1; i < len(test.in); i++ {
				split, _, err := decode(v, limits, test.in[:i], test.in[i:])
				if err != nil || !slices.Equal(split, test.want) {
					t.Errorf("%s, version %q, split at %d: %q, %v", name, v, i, split, err)
				}
			}
			if split, _, err := decode(v, limits, strings.Split(test.in, "")...); err != nil || !slices.Equal(split, test.want) {
				t.Errorf("%s, version %q, byte by byte: %q, %v", name, v, split, err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	small := frame.Limits{Headers: 2, Line: 20, Body: 4}
	tests := map[string]struct {
		on   string
		in   string
		want error
	}{
		"no such command":        {versions, "SNED\n\n\x00", frame.ErrMalformed},
		"lower case":             {versions, "send\n\n\x00", frame.ErrMalformed},
		"no colon":               {versions, "SEND\nabc\n\n\x00", frame.ErrMalformed},
		"no name":                {versions, "SEND\n:abc\n\n\x00", frame.ErrMalformed},
		"NUL in the head":        {versions, "SEND\na:b\x00", frame.ErrMalformed},
		"an escape of none":      {"\x02\x03", "SEND\na:\\t\n\n\x00", frame.ErrMalformed},
		"an escape of 1.2 alone": {"\x02", "SEND\na:\\r\n\n\x00", frame.ErrMalformed},
		"half an escape":         {"\x02\x03", "SEND\na:\\\n\n\x00", frame.ErrMalformed},
		"no NUL behind the body": {versions, "SEND\ncontent-length:1\n\nab", frame.ErrMalformed},
		"no number":              {versions, "SEND\ncontent-length:x\n\nab", frame.ErrMalformed},
		"a negative number":      {versions, "SEND\ncontent-length:-1\n\nab", frame.ErrMalformed},
		"a body of SUBSCRIBE":    {"\x02\x03", "SUBSCRIBE\n\nb\x00", frame.ErrMalformed},
		"with its length":        {"\x02\x03", "ACK\ncontent-length:1\n\nb\x00", frame.ErrMalformed},
		"not UTF-8":              {versions, "SEND\na:\xff\n\n\x00", frame.ErrMalformed},
		"a third header":         {versions, "SEND\na:1\nb:2\nc:3\n\n\x00", frame.ErrTooLarge},
		"a long line":            {versions, "SEND\na:345678901234567890x", frame.ErrTooLarge},
		"a long command":         {versions, strings.Repeat("S", 21), frame.ErrTooLarge},
		"a long body":            {versions, "SEND\n\n12345", frame.ErrTooLarge},
		"a body announced":       {versions, "SEND\ncontent-length:5\n\n", frame.ErrTooLarge},
		"beyond all numbers":     {versions, "SEND\ncontent-length:9", nil},
	}
	for name, test := range tests {
		for _, v := range test.on {
			for i := range test.in {
				_, _, err := decode(frame.Version(v), small, test.in[:i], test.in[i:])
				if !errors.Is(err, test.want) {
					t.Errorf("%s, version %d, split at %d: %v, want %v", name, v, i, err, test.want)
				}
			}
		}
	}
	if _, _, err := decode(frame.V12, small, "SEND\na:34567890123456789\nb:2\n\n1234\x00"); err != nil {
		t.Errorf("at the limits: %v", err)
	}
	if _, _, err := decode(frame.V12, limits, "SEND\ncontent-length:99999999999999999999\n\n"); !errors.Is(err, frame.ErrTooLarge) {
		t.Errorf("a length beyond all numbers: %v", err)
	}
	head := frame.Limits{Headers: 100, Line: 100, Head: 30, Body: 4}
	if _, _, err := decode(frame.None, head, strings.Repeat("a:b\n", 9)); !errors.Is(err, frame.ErrTooLarge) {
		t.Errorf("a large head: %v", err)
	}
}

// A frame that is whole in what came is not copied; a body that is not is copied
// once.
func TestBodiesAreNotCopied(t *testing.T) {
	d := frame.Decoder{Version: frame.V12, Limits: limits}
	in := []byte("SEND\ndestination:/a\n\nbody\x00")
	f, _, err := d.Next(in)
	if err != nil || f == nil || f.Owned || &f.Body[0] != &in[len(in)-5] {
		t.Fatalf("%+v, %v", f, err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _, _ = d.Next(in) }); n > 0 {
		t.Errorf("a frame costs %v allocations", n)
	}
	if _, _, err := d.Next([]byte("SEND\n\nbo")); err != nil {
		t.Fatal(err)
	}
	if f, _, err = d.Next([]byte("dy\x00")); err != nil || f == nil || !f.Owned || string(f.Body) != "body" {
		t.Errorf("%+v, %v", f, err)
	}
}

// Decoders that share room for headers take nothing from each other, wherever their
// frames are cut.
func TestSharedRoom(t *testing.T) {
	t.Parallel()
	const in = "SEND\na:1\nb:2\n\nbody\x00"
	want := plain{"SEND", `"a"="1" "b"="2"`, "body"}
	for i := range in {
		var room []frame.Header
		one, other := decoder(&room), decoder(&room)
		if f, n, err := one.Next([]byte(in[:i])); f != nil || n != i || err != nil {
			t.Fatalf("%d of %d bytes: %v, %v", n, i, f, err)
		}
		if f, _, err := other.Next([]byte("SEND\nc:3\n\nother\x00")); err != nil || copied(f) != (plain{"SEND", `"c"="3"`, "other"}) {
			t.Fatalf("%v, %v", f, err)
		}
		if f, _, err := one.Next([]byte(in[i:])); err != nil || f == nil || copied(f) != want {
			t.Errorf("cut at %d: %v, %v", i, f, err)
		}
	}
}

func decoder(room *[]frame.Header) *frame.Decoder {
	return &frame.Decoder{Version: frame.V12, Limits: limits, Room: room}
}

func TestAppend(t *testing.T) {
	t.Parallel()
	for v, want := range map[frame.Version]string{
		frame.V10: "RECEIPT\nc:1:\\2\n\n\x00",
		frame.V11: "RECEIPT\na\\cb:\na\\n:\n a:\nc:1\\c\\\\\\n2\n\n\x00",
		frame.V12: "RECEIPT\na\\cb:\na\\n:\na\\r:\n a:\nc:1\\c\\\\\\n\\r2\n\n\x00",
	} {
		if got := frame.Append(nil, v, frame.Receipt, nil, "a:b", "", "a\n", "", "a\r", "", " a", "", "c", "1:\\\n\r2"); string(got) != want {
			t.Errorf("%s: %q, want %q", v, got, want)
		}
	}
}

// Whatever comes, in whatever pieces, gives the same frames or the same refusal;
// and what is decoded and written again says the same.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("SEND\ndestination:/a\ncontent-length:2\n\nhi\x00\n"), byte(3), 7)
	f.Add([]byte("\r\nSEND\r\na\\c:\\n\r\n\r\n\x00ACK\nid:1\n\n\x00"), byte(3), 1)
	f.Add([]byte("CONNECT\nlogin: a\n\n\x00"), byte(0), 9)
	f.Fuzz(func(t *testing.T, in []byte, version byte, cut int) {
		v := frame.Version(version % 4)
		small := frame.Limits{Headers: 4, Line: 64, Body: 64}
		whole, _, err := decode(v, small, string(in))
		cut = max(cut, -cut) % (len(in) + 1)
		split, _, err2 := decode(v, small, string(in[:max(cut, 0)]), string(in[max(cut, 0):]))
		if (err == nil) != (err2 == nil) || !slices.Equal(whole, split) {
			t.Fatalf("whole %q, %v; split at %d %q, %v", whole, err, cut, split, err2)
		}
		again(t, v, small, in)
	})
}

// again writes each frame of in and reads it back.
func again(t *testing.T, v frame.Version, l frame.Limits, in []byte) {
	if v != frame.V12 {
		return
	}
	d := frame.Decoder{Version: v, Limits: l}
	for rest := bytes.Clone(in); len(rest) > 0; {
		f, n, err := d.Next(rest)
		if err != nil {
			return
		}
		rest = rest[n:]
		if f == nil || f.Command == frame.Connect || f.Command == frame.Stomp || f.Command == frame.Connected {
			continue
		}
		var headers []string
		for _, h := range f.Headers {
			if string(h.Name) != "content-length" && !bytes.Contains(h.Name, []byte{0}) {
				headers = append(headers, string(h.Name), string(h.Value))
			}
		}
		body := string(f.Body)
		command := f.Command
		back, _, err := decode(v, limits, string(frame.Append(nil, v, command, f.Body, headers...)))
		if err != nil || len(back) != 1 || back[0].body != body || back[0].command != command {
			t.Fatalf("%q came back as %q, %v", f.Command, back, err)
		}
	}
}

// A decoder tells how long the body is that it is in the midst of.
func TestPromised(t *testing.T) {
	const text = "SEND\ndestination:/a\ncontent-length:5\n\nhello\x00"
	d := frame.Decoder{Version: frame.V12, Limits: frame.Limits{Headers: 9, Line: 99, Body: 99}}
	for i := range len(text) {
		want := 0
		if begun := strings.Index(text, "hello"); i >= begun {
			want = 5
		}
		if got := d.Promised(); got != want {
			t.Errorf("%d bytes behind %q, want %d", got, text[:i], want)
		}
		if _, _, err := d.Next([]byte(text[i : i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.Promised(); got != 0 {
		t.Errorf("%d bytes behind the end", got)
	}
}
