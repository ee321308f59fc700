package protocol_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

func parse(t *testing.T, line string) protocol.Command {
	t.Helper()
	c, err := protocol.ParseCommand([]byte(line), protocol.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return c
}

func TestCommandReadsWhatItsOpNeeds(t *testing.T) {
	tests := map[string]struct {
		line string
		want protocol.Command
	}{
		"the last of equal fields counts": {
			`{"id":1,"id":2,"op":"ping","op":"subscribe","channel":"/a","channel":"/b"}`,
			protocol.Command{Op: protocol.OpSubscribe, ID: 2, Channel: "/b"},
		},
		"the last of equal marks counts": {
			`{"op":"ack","last":{"/a":1,"/b":2,"/a":3}}`,
			protocol.Command{Op: protocol.OpAck, Last: []protocol.Mark{{Channel: "/a", Offset: 3}, {Channel: "/b", Offset: 2}}},
		},
		"the last of equal applications counts": {
			`{"id":1,"op":"connect","auth":[{"app":"a","token":"x"},{"app":"b","token":"y"},{"app":"a","token":"z"}]}`,
			protocol.Command{Op: protocol.OpConnect, ID: 1, Auth: []protocol.Auth{{App: "a", Token: "z"}, {App: "b", Token: "y"}}},
		},
		"fields of other ops are unknown ones": {
			`{"op":"ping","channel":5,"last":[],"id":"x","new":{"a":[1.5e-7]}}`,
			protocol.Command{Op: protocol.OpPing},
		},
		"names and ops may have escapes": {
			`{"\u0069d":1,"op":"unsubscri\u0062e","channel":"\/a"}`,
			protocol.Command{Op: protocol.OpUnsubscribe, ID: 1, Channel: "/a"},
		},
		"an epoch of another form is unknown": {
			`{"id":1,"op":"subscribe","channel":"/a","after":7,"epoch":"x"}`,
			protocol.Command{Op: protocol.OpSubscribe, ID: 1, Channel: "/a", After: 7, HasAfter: true, Epoch: protocol.NoSuchEpoch},
		},
		"and so is that of zeros": {
			`{"id":1,"op":"subscribe","channel":"/a","after":7,"epoch":"0000000000000000"}`,
			protocol.Command{Op: protocol.OpSubscribe, ID: 1, Channel: "/a", After: 7, HasAfter: true, Epoch: protocol.NoSuchEpoch},
		},
		"offset 0 needs no epoch": {
			`{"id":1,"op":"connect","last":{"/a":0},"ack":"auto"}`,
			protocol.Command{Op: protocol.OpConnect, ID: 1, Last: []protocol.Mark{{Channel: "/a"}}},
		},
		"null is a payload": {
			`{"id":1,"op":"publish","channel":"/a","data":null}`,
			protocol.Command{Op: protocol.OpPublish, ID: 1, Channel: "/a", Data: []byte("null")},
		},
		"nothing is a binary payload": {
			`{"id":1,"op":"publish","channel":"/a","b":"","ct":"x/y"}`,
			protocol.Command{Op: protocol.OpPublish, ID: 1, Channel: "/a", Data: []byte{}, Binary: true, ContentType: "x/y"},
		},
		"the payload is one line": {
			"{\"id\":1,\"op\":\"publish\",\"channel\":\"/a\",\"data\":{ \"a\" :\r\n [1,\t2], \"b\\\\\": \" x\\\" y \u2028\" }}",
			protocol.Command{Op: protocol.OpPublish, ID: 1, Channel: "/a", Data: []byte(`{"a":[1,2],"b\\":" x\" y \u2028"}`)},
		},
	}
	for name, test := range tests {
		if got := parse(t, test.line); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, test.want)
		}
	}
}

func TestCommandRefuses(t *testing.T) {
	deep := strings.Repeat("[", protocol.MaxDepth+1) + strings.Repeat("]", protocol.MaxDepth+1)
	long := strings.Repeat("x", protocol.MaxKey+1)
	tests := map[string]message.Code{
		``:                                message.BadRequest,
		` `:                               message.BadRequest,
		`{"id":1,"op":"connect"} x`:       message.BadRequest,
		`{"id":1,"op":"connect",}`:        message.BadRequest,
		`{"id":01,"op":"connect"}`:        message.BadRequest,
		`{"id":1e0,"op":"connect"}`:       message.BadRequest,
		`{"id":1,"op":null}`:              message.BadRequest,
		`{"id":1,"op":"\ud800"}`:          message.BadRequest,
		`{"id":1,"op":"connect","a":tru}`: message.BadRequest,
		"{\"id\":1,\"op\":\"connect\",\"a\":\"\xff\"}":                                                   message.BadRequest,
		"{\"id\":1,\"op\":\"connect\",\"a\":\"\n\"}":                                                     message.BadRequest,
		`{"id":1,"op":"connect","client":""}`:                                                            message.BadRequest,
		`{"id":1,"op":"connect","client":"a/b"}`:                                                         message.BadRequest,
		`{"id":1,"op":"connect","client":"` + long[:65] + `"}`:                                           message.BadRequest,
		`{"id":1,"op":"connect","auth":{}}`:                                                              message.BadRequest,
		`{"id":1,"op":"connect","auth":[{"app":"a"}]}`:                                                   message.BadRequest,
		`{"id":1,"op":"connect","auth":[5]}`:                                                             message.BadRequest,
		`{"id":1,"op":"connect","last":[]}`:                                                              message.BadRequest,
		`{"op":"ack","last":{"a":1}}`:                                                                    message.UnknownChannel,
		`{"id":1,"op":"auth","app":"$sys","token":"t"}`:                                                  message.BadRequest,
		`{"id":1,"op":"publish","channel":"/a","data":1,"key":"\ud800"}`:                                 message.BadRequest,
		`{"id":1,"op":"publish","channel":"/a","data":1,"key":"` + long + `"}`:                           message.BadRequest,
		`{"id":1,"op":"publish","channel":"/a","data":1,"ct":"text/plain"}`:                              message.BadRequest,
		`{"id":1,"op":"publish","channel":"/a","b":"AA==\n","ct":"text/plain"}`:                          message.BadRequest,
		`{"id":1,"op":"publish","channel":"/a","b":"AB==","ct":"text/plain"}`:                            message.BadRequest,
		`{"id":1,"op":"publish","channel":"/a","b":"AA==","ct":"text/plain\r\nX"}`:                       message.BadRequest,
		`{"id":1,"op":"publish","channel":"/a","data":1,"h":{"a":1}}`:                                    message.BadRequest,
		`{"id":1,"op":"publish","channel":"/a","data":1,"first":-1}`:                                     message.BadRequest,
		`{"id":1,"op":"publish","channel":"/a","data":` + deep + `}`:                                     message.BadRequest,
		`{"id":1,"op":"publish","channel":"/a","data":1,"h":{"a":"` + strings.Repeat("x", 8<<10) + `"}}`: message.TooLarge,
		`{"id":1,"op":"publish","channel":"/a","data":"` + strings.Repeat("x", 64<<10) + `"}`:            message.TooLarge,
		`{"id":1,"op":"connect","token":"` + strings.Repeat("x", 69<<10) + `"}`:                          message.TooLarge,
		connectTo(protocol.MaxAuth + 1):                                                                  message.TooLarge,
	}
	for line, code := range tests {
		if c, err := protocol.ParseCommand([]byte(line), protocol.Limits{}); err == nil || err.Code != code {
			t.Errorf("%.100q: %+v, %v; want %s", line, c, err, code)
		}
	}
}

// connectTo is a connect with identities for so many applications, two for the last.
func connectTo(apps int) string {
	entry := func(i int) string { return fmt.Sprintf(`{"app":"a%d","token":"t"}`, i) }
	var list []string
	for i := range apps {
		list = append(list, entry(i))
	}
	return `{"id":1,"op":"connect","auth":[` + strings.Join(append(list, entry(apps-1)), ",") + `]}`
}

func TestLimitsAreExact(t *testing.T) {
	if c := parse(t, connectTo(protocol.MaxAuth)); len(c.Auth) != protocol.MaxAuth {
		t.Errorf("%d identities", len(c.Auth))
	}
	limits := protocol.Limits{MaxMessage: 10}
	for _, test := range []struct {
		data string
		ok   bool
	}{{`"12345678"`, true}, {`"123456789"`, false}, {` [ 1, 2, 3 ] `, true}} {
		line := `{"id":9,"op":"publish","channel":"/a","data":` + test.data + `}`
		c, err := protocol.ParseCommand([]byte(line), limits)
		if (err == nil) != test.ok || c.ID != 9 {
			t.Errorf("%s: %+v, %v", line, c, err)
		}
	}
	deepest := strings.Repeat("[", protocol.MaxDepth) + strings.Repeat("]", protocol.MaxDepth)
	c := parse(t, `{"id":1,"op":"publish","channel":"/a","data":`+deepest+`}`)
	m := c.Message()
	line := protocol.AppendHistory(nil, 1, 1, []message.Message{m}, false)
	if _, err := protocol.Parse(line); err != nil {
		t.Errorf("the deepest payload that is accepted cannot be received: %v", err)
	}
}

func TestCommandOwnsItsData(t *testing.T) {
	line := []byte(`{"id":1,"op":"publish","channel":"/abc","data":"abc","key":"abc","h":{"abc":"abc"}}`)
	c, err := protocol.ParseCommand(line, protocol.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	before := string(protocol.AppendCommand(nil, &c))
	copy(line, bytes.Repeat([]byte("?"), len(line)))
	if after := string(protocol.AppendCommand(nil, &c)); after != before {
		t.Errorf("the command changed with its line: %s", after)
	}
}

func TestParsePublish(t *testing.T) {
	c, err := protocol.ParsePublish([]byte(`{"channel":"/a","data":1,"key":"k","h":{"x":"1","y":"2","x":"3"}}`), protocol.Limits{})
	want := []message.Header{{Name: "x", Value: "3"}, {Name: "y", Value: "2"}}
	if err != nil || c.Op != protocol.OpPublish || !slices.Equal(c.Headers, want) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := protocol.ParsePublish([]byte(`{"data":1}`), protocol.Limits{}); err == nil {
		t.Error("accepted without a channel")
	}
}

func TestPayload(t *testing.T) {
	if got, err := protocol.Payload([]byte(" { \"a\":\n1e5 } ")); err != nil || string(got) != `{"a":1e5}` {
		t.Errorf("%s, %v", got, err)
	}
	for _, bad := range []string{"", "{", "1 2", "nul", "\"\xff\"", `"\x"`, "-", "1.", "1e", "'a'", `"\u12g4"`} {
		if got, err := protocol.Payload([]byte(bad)); err == nil {
			t.Errorf("%q was accepted as %s", bad, got)
		}
	}
}

func TestLines(t *testing.T) {
	tests := map[string][]string{
		"": nil, "\n": nil, "a": {"a"}, "a\n": {"a"}, "a\nb": {"a", "b"}, "\r\n a\n\n\nb\n": {" a", "b"},
	}
	for in, want := range tests {
		var got []string
		for line := range protocol.Lines([]byte(in)) {
			got = append(got, string(line))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q; want %q", in, got, want)
		}
	}
	for range protocol.Lines([]byte("a\nb")) {
		break
	}
}
