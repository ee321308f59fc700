package transport

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/origin"
)

// What a client does wrong is answered and costs it nothing but that command.
func TestRefusedCommands(t *testing.T) {
	r := newRig(t, rigOptions{rules: "/a/** * *\n/closed/** - -"})
	p := r.dial()
	p.send(`{"id":9,"op":"subscribe","channel":"/a/b"}`)
	p.want(`{"re":9,"error":"map[code:bad_request message:send connect first]"}`)
	p.connect("")
	for _, c := range []struct{ line, code string }{
		{`{"id":2,"op":"connect"`, "bad_request"},
		{`nonsense`, "bad_request"},
		{`{"id":2,"op":"fly"}`, "bad_request"},
		{`{"id":2,"op":"connect"}`, "bad_request"},
		{`{"id":2,"op":"subscribe","channel":"/closed/b"}`, "forbidden"},
		{`{"id":2,"op":"publish","channel":"/closed/b","data":1}`, "forbidden"},
		{`{"id":2,"op":"history","channel":"/closed/b"}`, "forbidden"},
		{`{"id":2,"op":"subscribe","channel":"/no/rule"}`, "forbidden"},
		{`{"id":2,"op":"publish","channel":"/a//b","data":1}`, "unknown_channel"},
		{`{"id":2,"op":"publish","channel":"/a/b","data":"` + strings.Repeat("x", 66000) + `"}`, "too_large"},
		{`{"id":2,"op":"auth","app":"a","token":"wrong"}`, "unauthorized"},
	} {
		p.send(c.line)
		e, _ := p.next()["error"].(map[string]any)
		if e["code"] != c.code || e["message"] == "" {
			t.Errorf("%.60s: got %v, want %s", c.line, e, c.code)
		}
	}
	p.send(`{"id":3,"op":"publish","channel":"/a/b","data":1}`)
	p.want(`{"re":3,"offset":2}`)
}

// A connection has identities of its own for a bounded number of applications; to replace
// one is always possible, and what was refused takes nothing away.
func TestApplicationsOfAConnection(t *testing.T) {
	r := newRig(t, rigOptions{rules: "/*/b @authenticated @authenticated"})
	p := r.dial()
	p.connect(`"auth":[{"app":"a0","token":"alice"}]`)
	become := func(app int, user string) object {
		p.send(fmt.Sprintf(`{"id":2,"op":"auth","app":"a%d","token":%q}`, app, user))
		return p.next()
	}
	for i := range 63 {
		if o := become(i+1, "alice"); o["user"] != "alice" {
			t.Fatalf("application %d: %v", i+1, o)
		}
	}
	if e, _ := become(64, "alice")["error"].(map[string]any); e["code"] != "too_large" || !strings.Contains(fmt.Sprint(e["message"]), "64 applications") {
		t.Errorf("one too many: %v", e)
	}
	if o := become(7, "bob"); o["user"] != "bob" {
		t.Errorf("another for an application that has one: %v", o)
	}
	for app, by := range map[int]string{0: "alice", 7: "bob", 63: "alice"} {
		p.send(fmt.Sprintf(`{"id":3,"op":"publish","channel":"/a%d/b","data":1}`, app))
		p.next()
		p.send(fmt.Sprintf(`{"id":4,"op":"history","channel":"/a%d/b"}`, app))
		if got := fmt.Sprint(p.next()["messages"]); !strings.Contains(got, "by:"+by) {
			t.Errorf("what %s has published in application %d: %s", by, app, got)
		}
	}
}

// A connect that cannot be read is refused like any other: there is no session
// to go on with.
func TestRefusedConnects(t *testing.T) {
	r := newRig(t, rigOptions{})
	for _, fields := range []string{`"client":"my laptop"`, `"ack":"never"`, `"last":{"/a":5}`, `"session":"x"`} {
		p := r.dial()
		p.send(`{"id":7,"op":"connect",` + fields + `}`)
		if o := p.next(); o["re"] != 7.0 || o["error"] == nil {
			t.Errorf("%s: %v", fields, o)
		}
		p.want(`{"bye":"map[code:bad_request]"}`)
		if code := p.closed(); code != ws.StatusPolicyViolation {
			t.Errorf("%s: close code %d", fields, code)
		}
	}
}

func TestWrongToken(t *testing.T) {
	r := newRig(t, rigOptions{})
	p := r.dial()
	p.send(`{"id":1,"op":"connect","token":"wrong"}`)
	p.want(`{"re":1,"error":"map[code:unauthorized message:wrong user name, password or token]"}`)
	p.want(`{"bye":"map[code:unauthorized]"}`)
	if code := p.closed(); code != ws.StatusPolicyViolation {
		t.Errorf("close code %d", code)
	}
}

// A session that the server does not know, or that is another user's, is
// replaced by a new one; positions hold all the same.
func TestUnknownSession(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a/b", 1, 2)
	p := r.dial()
	first := p.connect(`"token":"alice"`)
	theirs := fmt.Sprintf(`"session":%q,"secret":%q,`, first["session"], first["secret"])
	positions := fmt.Sprintf(`"epoch":%q,"last":{"/a/b":2}`, first["epoch"])
	for name, fields := range map[string]string{
		"unknown":          `"session":"q83vEjRWeJCrze8SNFZ4kA","secret":"x",` + positions,
		"another's":        `"token":"bob",` + theirs + positions,
		"an anonymous one": theirs + positions,
		"wrong secret":     fmt.Sprintf(`"token":"alice","session":%q,"secret":"x",`, first["session"]) + positions,
	} {
		q := r.dial()
		o := q.connect(fields)
		if o["resumed"] != false || o["session"] == first["session"] {
			t.Errorf("%s: %v", name, o)
		}
		q.want(`{"ch":"/a/b","o":3,"p":2,"d":2}`)
		q.want(`{"ch":"/a/b","at":3}`)
	}
	p.send(`{"op":"ping"}`)
	p.want(`{"op":"pong"}`) // its session was not touched
}

// A position of another history is a gap, and never an error.
func TestForeignPosition(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.publish("/a/b", 1, 2)
	p := r.dial()
	epoch := p.connect("")["epoch"]
	for _, c := range []struct{ after, epoch, gap string }{
		{"77", "0123456789abcdef", "map[after:77 reason:epoch to:1]"},
		{"77", "nonsense", "map[after:77 reason:epoch to:1]"},
		{"77", fmt.Sprint(epoch), "map[after:77 reason:epoch to:3]"},
	} {
		p.send(fmt.Sprintf(`{"id":2,"op":"subscribe","channel":"/a/b","after":%s,"epoch":%q}`, c.after, c.epoch))
		p.want(`{"re":2,"offset":3}`)
		p.want(fmt.Sprintf(`{"ch":"/a/b","gap":%q}`, c.gap))
		for o := p.next(); o["at"] == nil; o = p.next() {
		}
	}
}

// Violations of RFC 6455 end the connection, with the code that it names.
func TestViolations(t *testing.T) {
	r := newRig(t, rigOptions{})
	masked := func(first byte, payload string) string {
		return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
	}
	for name, c := range map[string]struct {
		bytes string
		code  ws.StatusCode
	}{
		"unmasked":             {"\x81\x02{}", 1002},
		"reserved bit":         {masked(0xc1, "{}"), 1002},
		"reserved opcode":      {masked(0x83, "{}"), 1002},
		"fragmented ping":      {masked(0x09, ""), 1002},
		"lone continuation":    {masked(0x80, "{}"), 1002},
		"text within text":     {masked(0x01, "{") + masked(0x81, "}"), 1002},
		"long ping":            {"\x89\xfe\x00\x7e\x00\x00\x00\x00", 1002},
		"binary":               {masked(0x82, "{}"), 1003},
		"not UTF-8":            {masked(0x81, "\"\xff\""), 1007},
		"oversized":            {"\x81\xff\x00\x00\x00\x00\x7f\xff\xff\xff\x00\x00\x00\x00", 1009},
		"length beyond 63 bit": {"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", 1002},
		"close of one byte":    {masked(0x88, "x"), 1002},
		"close, bad code":      {masked(0x88, "\x03\xec"), 1002},
		"close":                {masked(0x88, "\x03\xe8"), 1000},
	} {
		p := r.dial()
		p.connect("")
		if _, err := p.conn.Write([]byte(c.bytes)); err != nil {
			t.Fatal(err)
		}
		if code := p.closed(); code != c.code {
			t.Errorf("%s: close code %d, want %d", name, code, c.code)
		}
	}
}

// A message in fragments, with a ping in between, is one message, at whatever
// bytes it is cut.
func TestFragments(t *testing.T) {
	r := newRig(t, rigOptions{})
	text := []byte(`{"id":2,"op":"publish","channel":"/a/b","data":"äöü"}`)
	frames := [][]byte{
		ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(ws.OpText, false, text[:10]))),
		ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame([]byte("x")))),
		ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(ws.OpContinuation, false, nil))),
		ws.MustCompileFrame(ws.MaskFrame(ws.NewFrame(ws.OpContinuation, true, text[10:]))),
	}
	p := r.dial()
	p.connect("")
	for _, f := range frames {
		for i := range f {
			if _, err := p.conn.Write(f[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.want(`{"re":2,"offset":2}`)
}

func TestLoginTimeout(t *testing.T) {
	r := newRig(t, rigOptions{limits: Limits{LoginTimeout: 100 * time.Millisecond}})
	if code := r.dial().closed(); code != ws.StatusPolicyViolation {
		t.Errorf("no connect: close code %d", code)
	}
}

// Beyond the rate a command is refused, and who does not mind is sent away.
func TestCommandRate(t *testing.T) {
	r := newRig(t, rigOptions{limits: Limits{CommandRate: 1, CommandBurst: 5}})
	p := r.dial()
	p.connect("")
	refused := 0
	for i := range 20 {
		p.send(fmt.Sprintf(`{"id":%d,"op":"unsubscribe","channel":"/a/b"}`, i+2))
		o := p.next()
		if e, ok := o["error"].(map[string]any); ok && e["code"] == "rate_limited" && o["re"] == float64(i+2) {
			refused++
		}
	}
	if refused < 10 {
		t.Errorf("%d of 20 commands were refused; 5 are allowed at once, 1 a second", refused)
	}
	p.send(strings.TrimSuffix(strings.Repeat("{\"id\":9,\"op\":\"unsubscribe\",\"channel\":\"/a\"}\n", maxRefusals), "\n"))
	for o := p.next(); fmt.Sprint(o["bye"]) != "map[code:rate_limited]"; o = p.next() {
		if e, ok := o["error"].(map[string]any); !ok || e["code"] != "rate_limited" {
			t.Fatalf("got %v", o)
		}
	}
	if code := p.closed(); code != ws.StatusPolicyViolation {
		t.Errorf("close code %d", code)
	}
}

// Who publishes faster than the rate is slowed down and told nothing: each
// publish is stored, in order, and what is behind it waits with it. In one text,
// and in many; commands of other kinds are counted for themselves.
func TestPublishesAreSlowedDown(t *testing.T) {
	r := newRig(t, rigOptions{limits: Limits{CommandRate: 1000, CommandBurst: 20}})
	p := r.dial()
	p.connect("")
	const n = 100
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"op":"publish","channel":"/a/b","data":%d}`, i+2, i))
	}
	p.send(lines...)
	for _, line := range lines {
		p.send(line)
	}
	p.send(`{"id":1000,"op":"subscribe","channel":"/a/b"}`)
	last := 0.0
	for i := range 2 * n {
		o := p.next()
		if o["re"] != float64(i%n+2) || o["error"] != nil || o["offset"].(float64) <= last {
			t.Fatalf("answer %d is %v", i, o)
		}
		last = o["offset"].(float64)
	}
	p.want(fmt.Sprintf(`{"re":1000,"offset":%d}`, int(last)))
}

// Who tries again at once what is beyond an application's rate is slowed down, too; who
// is within it notices nothing.
func TestOverRateIsSlowedDown(t *testing.T) {
	var passed atomic.Int64
	begin := time.Now()
	r := newRig(t, rigOptions{
		loops: 1, limits: Limits{CommandRate: 10 * maxOverRate, CommandBurst: 10 * maxOverRate},
		quotas: map[string]broker.Quota{"a": {PublishRate: 1}},
		now:    func() time.Time { return begin.Add(time.Duration(passed.Load()) * time.Second) },
	})
	p := r.dial()
	p.connect("")
	answers := make(chan string)
	go func() {
		defer close(answers)
		for text, err := p.text(); err == nil; text, err = p.text() {
			answers <- text
		}
	}()
	part := r.server.parts[0]
	waits := func() (is bool) { // until the clock goes on
		told := make(chan struct{})
		part.loop.Post(func() {
			for c := range part.clients {
				x := c.(*websocket).commands()
				b := x.publishes
				is = x.hasLines() && !b.take(r.server.now(), 10*maxOverRate, 10*maxOverRate)
			}
			close(told)
		})
		<-told
		return is
	}
	for second := range 3 {
		refused := 0
		for held := false; !held; {
			p.send(`{"id":2,"op":"publish","channel":"/a/b","data":1}`)
			for answered := false; !answered && !held; {
				select {
				case text := <-answers:
					answered = true
					if refused++; refused > maxOverRate+1 {
						t.Fatalf("%d were answered in a second, the last by %s", refused, text)
					}
				default:
					held = waits()
				}
			}
		}
		if refused < maxOverRate/2 {
			t.Errorf("%d were answered in second %d", refused, second)
		}
		passed.Add(1)
		<-answers
	}
}

// What has no answer cannot be refused: it waits.
func TestAcksAndPingsAreSlowedDown(t *testing.T) {
	r := newRig(t, rigOptions{limits: Limits{CommandRate: 1000, CommandBurst: 20}})
	p := r.dial()
	p.connect("")
	const n = 200
	p.send(strings.TrimSuffix(strings.Repeat("{\"op\":\"ping\"}\n{\"op\":\"ack\",\"last\":{\"/a\":1}}\n", n), "\n"))
	for range n {
		p.want(`{"op":"pong"}`)
	}
}

// Control frames make work as well.
func TestPingFlood(t *testing.T) {
	r := newRig(t, rigOptions{limits: Limits{CommandRate: 1, CommandBurst: 20}})
	p := r.dial()
	p.connect("")
	ping := ws.MustCompileFrame(ws.MaskFrame(ws.NewPingFrame([]byte("x"))))
	if _, err := p.conn.Write(bytes.Repeat(ping, 30)); err != nil {
		t.Fatal(err)
	}
	if code := p.closed(); code != ws.StatusPolicyViolation {
		t.Errorf("close code %d", code)
	}
}

// A client that the server holds up is not taken for one that has gone, however
// long that lasts; one that says nothing is.
func TestHeldUpIsNotSilent(t *testing.T) {
	r := newRig(t, rigOptions{limits: Limits{CommandRate: 2, CommandBurst: 1}, loops: 1})
	p, silent := r.dial(), r.dial()
	silent.connect("")
	p.connect("")
	p.send(`{"id":2,"op":"publish","channel":"/a/b","data":1}`, `{"id":3,"op":"publish","channel":"/a/b","data":2}`, `{"id":4,"op":"publish","channel":"/a/b","data":3}`)
	p.want(`{"re":2,"offset":2}`)
	part := r.server.parts[0]
	part.loop.Post(func() { part.tick(time.Now().Add(time.Minute)) })
	p.want(`{"re":3,"offset":3}`)
	p.want(`{"re":4,"offset":4}`)
	if text, err := silent.text(); err == nil {
		t.Errorf("a silent client got %s and not the end", text)
	}
}

func TestBucket(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	take := func(b *bucket, rate, burst int) (n int) {
		for b.take(now, rate, burst) {
			n++
		}
		return n
	}
	var b bucket
	if n := take(&b, 10, 25); n != 25 || b.isFull(now) {
		t.Errorf("%d at once, want 25", n)
	}
	now = now.Add(500 * time.Millisecond)
	if n := take(&b, 10, 25); n != 5 {
		t.Errorf("%d after half a second, want 5", n)
	}
	now = now.Add(-time.Hour) // somebody has set the clock
	if n := take(&b, 10, 25); n != 0 {
		t.Errorf("%d at once after the clock was set back", n)
	}
	now = now.Add(time.Second)
	if n := take(&b, 10, 25); n != 25 && n != 10 {
		t.Errorf("%d a second later, want 10: it must not wait for the old time", n)
	}
	now = now.Add(time.Hour)
	if n := take(&b, 10, 25); n != 25 {
		t.Errorf("%d after an hour, want 25", n)
	}
	var fast bucket
	if n := take(&fast, 1<<40, 3); n != 3 {
		t.Errorf("%d at a rate above the clock's grain, want 3", n)
	}
}

func TestOrigins(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.gate.Set(origin.Rules{Origins: []string{"https://www.example.org"}})
	host := strings.TrimSuffix(strings.TrimPrefix(r.url, "ws://"), Path)
	for origin, want := range map[string]bool{
		"":                              true,
		"https://www.example.org":       true,
		"http://" + host:                true,
		"https://" + host:               true,
		"null":                          false,
		"https://www.example.org:8443":  false,
		"http://www.example.org":        false,
		"https://WWW.example.org":       false,
		"https://example.org":           false,
		"https://www.example.org.evil":  false,
		"https://evil-www.example.org":  false,
		"https://user@www.example.org":  false,
		"http://user@" + host:           false,
		"http://" + host + "/path":      false,
		"file://" + host:                false,
		"http://" + host + ".evil.test": false,
	} {
		var header []string
		if origin != "" {
			header = []string{"Origin", origin}
		}
		_, err := r.tryDial(header...)
		if got := err == nil; got != want {
			t.Errorf("origin %q: connected %v, want %v (%v)", origin, got, want, err)
		}
	}
}
