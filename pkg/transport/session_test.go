package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/session"
)

// A named session is selected by user and name alone, and keeps its
// subscriptions and cursors in the engine: also when the process has forgotten
// it.
func TestNamedSession(t *testing.T) {
	r := newRig(t, rigOptions{session: session.Limits{TTL: time.Nanosecond}})
	p := r.dial()
	first := p.connect(`"token":"alice","client":"laptop"`)
	if first["resumed"] != false || first["user"] != "alice" || first["ttl"] != (30*24*time.Hour).Seconds() {
		t.Fatalf("got %v", first)
	}
	p.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`, `{"id":3,"op":"subscribe","channel":"/a/c"}`, `{"id":4,"op":"unsubscribe","channel":"/a/c"}`)
	p.want(`{"re":2,"offset":1}`)
	p.want(`{"re":3,"offset":1}`)
	p.want(`{"re":4}`)
	r.publish("/a/b", 1, 2)
	p.next()
	p.next()
	p.send(`{"op":"ack","last":{"/a/b":2}}`, `{"op":"ping"}`)
	p.want(`{"op":"pong"}`)
	p.conn.Close()
	for r.sessions.Count() > 0 { // the rig's tick is short
		time.Sleep(time.Millisecond)
	}
	r.publish("/a/b", 3)

	for _, other := range []string{`"token":"alice","client":"phone"`, `"token":"bob","client":"laptop"`} {
		if o := r.dial().connect(other); o["resumed"] != false || fmt.Sprint(o["subs"]) != "map[]" {
			t.Errorf("%s: %v", other, o)
		}
	}
	q := r.dial()
	again := q.connect(`"token":"alice","client":"laptop"`)
	if again["resumed"] != true || fmt.Sprint(again["subs"]) != "map[/a/b:map[offset:4]]" {
		t.Fatalf("got %v", again)
	}
	q.want(`{"ch":"/a/b","o":3,"p":2,"d":2,"r":true}`)
	q.want(`{"ch":"/a/b","o":4,"p":3,"d":3,"r":true}`)
	q.want(`{"ch":"/a/b","at":4}`)
	if e := r.dial(); true {
		e.send(`{"id":1,"op":"connect","client":"x"}`)
		e.want(`{"re":1,"error":"map[code:unauthorized message:a named session (client) belongs to a user; log in first]"}`)
	}
}

// With "ack":"manual" the positions of connect do not move the cursor.
func TestManualAck(t *testing.T) {
	r := newRig(t, rigOptions{})
	const who = `"token":"alice","client":"laptop","ack":"manual"`
	p := r.dial()
	epoch := p.connect(who)["epoch"]
	p.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`)
	p.want(`{"re":2,"offset":1}`)
	r.publish("/a/b", 1, 2)
	p.next()
	p.next()
	p.conn.Close()
	q := r.dial()
	q.connect(fmt.Sprintf(`%s,"epoch":%q,"last":{"/a/b":3}`, who, epoch))
	q.want(`{"ch":"/a/b","at":3}`)
	q.conn.Close()
	z := r.dial()
	z.connect(who)
	z.want(`{"ch":"/a/b","o":2,"p":0,"d":1,"r":true}`)
	z.want(`{"ch":"/a/b","o":3,"p":2,"d":2,"r":true}`)
	z.want(`{"ch":"/a/b","at":3}`)
}

func TestAckBeyondWhatWasSent(t *testing.T) {
	r := newRig(t, rigOptions{})
	p := r.dial()
	p.connect("")
	p.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`, `{"op":"ack","last":{"/a/b":99}}`, `{"op":"ack","last":{"/a/other":99}}`)
	p.want(`{"re":2,"offset":1}`)
	p.want(`{"error":"map[code:bad_request message:ack of /a/b up to 99 is beyond 1, the last that was sent]"}`)
}

// A newer connection displaces the older one, which is told not to come back.
func TestDisplaced(t *testing.T) {
	r := newRig(t, rigOptions{})
	for range 8 {
		p := r.dial()
		o := p.connect("")
		q := r.dial()
		q.connect(fmt.Sprintf(`"session":%q,"secret":%q`, o["session"], o["secret"]))
		p.want(`{"bye":"map[code:displaced]"}`)
		p.closed()
		q.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`)
		if o := q.next(); o["re"] != 2.0 {
			t.Fatalf("got %v", o)
		}
	}
}

// After a reload has returned, nothing comes that the rules in force forbid,
// live or from the past.
func TestRevoked(t *testing.T) {
	r := newRig(t, rigOptions{session: session.Limits{Window: 2}})
	p := r.dial()
	p.connect(`"token":"alice/staff"`)
	p.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`, `{"id":3,"op":"subscribe","channel":"/a/open"}`)
	p.want(`{"re":2,"offset":1}`)
	p.want(`{"re":3,"offset":1}`)
	r.publish("/a/b", 1, 2, 3, 4) // the window keeps two of them back
	p.want(`{"ch":"/a/b","o":2,"p":0,"d":1}`)
	p.want(`{"ch":"/a/b","o":3,"p":2,"d":2}`)
	r.broker.SetRights(broker.Rights{
		Policy: policy(t, "/a/b group:admins *\n/** * *"), Auth: names{},
		Storage: func(channel.Name) engine.Rule { return engine.Rule{} },
	})
	must(t, r.sessions.Recheck(t.Context()))
	r.publish("/a/b", 5)
	r.publish("/a/open", 6)
	p.send(`{"op":"ack","last":{"/a/b":3}}`)
	p.want(`{"ch":"/a/b","revoked":"map[code:forbidden message:subscribe to /a/b is not allowed for alice]"}`)
	p.want(`{"ch":"/a/open","o":7,"p":0,"d":6}`)
	p.send(`{"id":4,"op":"subscribe","channel":"/a/b","after":0}`)
	if o := p.next(); o["error"] == nil {
		t.Fatalf("got %v", o)
	}
}

// pasts is an engine that tells when a history is read, and waits.
type pasts struct {
	engine.Engine
	asked, answer chan struct{}
}

func (p *pasts) History(ctx context.Context, ch channel.Name, before message.Offset, limit engine.Limit) (engine.Batch, error) {
	b, err := p.Engine.History(ctx, ch, before, limit)
	p.asked <- struct{}{}
	<-p.answer
	return b, err
}

// A history that is being read when the right goes is not shown: neither where the
// rules have changed nor where the user has left a group.
func TestRevokedHistory(t *testing.T) {
	for rules, directory := range map[string]broker.Authenticator{"/a/b group:admins *": names{}, "/a/b group:staff *": ungrouped{}} {
		e := &pasts{asked: make(chan struct{}), answer: make(chan struct{})}
		r := newRig(t, rigOptions{engine: func(inner engine.Engine) engine.Engine { e.Engine = inner; return e }})
		r.publish("/a/b", 1)
		p := r.dial()
		p.connect(`"token":"alice/staff"`)
		p.send(`{"id":2,"op":"history","channel":"/a/b"}`)
		<-e.asked
		r.broker.SetRights(broker.Rights{
			Policy: policy(t, rules), Auth: directory, Storage: func(channel.Name) engine.Rule { return engine.Rule{} },
		})
		must(t, r.sessions.Recheck(t.Context()))
		close(e.answer)
		p.want(`{"re":2,"error":"map[code:forbidden message:subscribe to /a/b is not allowed for alice]"}`)
	}
}

// lookups is an engine that tells when a named session is looked up, and waits.
type lookups struct {
	engine.Engine
	asked, answer chan struct{}
}

func (l *lookups) Session(ctx context.Context, key engine.SessionKey) (engine.Session, bool, error) {
	l.asked <- struct{}{}
	<-l.answer
	return l.Engine.Session(ctx, key)
}

// ungrouped is a directory in which nobody is in a group any more.
type ungrouped struct{ names }

func (ungrouped) Authenticate(_ context.Context, c auth.Credentials) (*auth.Identity, error) {
	user, _, _ := strings.Cut(c.Token, "/")
	return &auth.Identity{User: user, Realm: "names"}, nil
}

func (ungrouped) Refresh(_ context.Context, id *auth.Identity) (*auth.Identity, error) {
	return &auth.Identity{User: id.User, Realm: id.Realm}, nil
}

// Who was on the way to a session during a reload has been looked at by nobody:
// what the client had proven before is proven again.
func TestReloadBetweenLoginAndSession(t *testing.T) {
	l := &lookups{asked: make(chan struct{}), answer: make(chan struct{})}
	r := newRig(t, rigOptions{rules: "/a/** group:staff *", engine: func(e engine.Engine) engine.Engine { l.Engine = e; return l }})
	p := r.dial()
	p.send(`{"id":1,"op":"connect","token":"alice/staff","client":"laptop","last":{"/a/b":0}}`)
	<-l.asked
	r.broker.SetRights(broker.Rights{
		Policy: policy(t, "/a/** group:staff *"), Auth: ungrouped{}, Storage: func(channel.Name) engine.Rule { return engine.Rule{} },
	})
	must(t, r.sessions.Recheck(t.Context()))
	close(l.answer)
	subs := p.next()["subs"]
	if !strings.Contains(fmt.Sprint(subs), "code:forbidden") {
		t.Errorf("got %v", subs)
	}
	r.publish("/a/b", 1)
	p.send(`{"op":"ping"}`)
	p.want(`{"op":"pong"}`)
}

// A user who no longer exists loses the connection at a reload.
func TestUserGone(t *testing.T) {
	r := newRig(t, rigOptions{})
	stays, goes := r.dial(), r.dial()
	stays.connect(`"token":"alice"`)
	goes.connect(fmt.Sprintf(`"token":%q`, gone))
	must(t, r.sessions.Recheck(t.Context()))
	goes.want(`{"bye":"map[code:unauthorized]"}`)
	goes.closed()
	stays.send(`{"op":"ping"}`)
	stays.want(`{"op":"pong"}`)
}

// A client that reads nothing for a while costs no memory and loses nothing; a
// client beside it is not held up.
func TestSlowReader(t *testing.T) {
	r := newRig(t, rigOptions{session: session.Limits{Window: 100_000, WindowBytes: 1 << 30}})
	slow, fast := r.dial(), r.dial()
	for _, p := range []*peer{slow, fast} {
		p.connect("")
		p.send(`{"id":2,"op":"subscribe","channel":"/a/b"}`)
		p.want(`{"re":2,"offset":1}`)
	}
	const n = 1000
	text := strings.Repeat("x", 8<<10)
	read := func(p *peer, n int) {
		last := 0.0
		for range n {
			o := p.next()
			if p, o := o["p"].(float64), o["o"].(float64); p != last || o <= last {
				t.Fatalf("message %v follows %v, not %v", o, p, last)
			}
			last = o["o"].(float64)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		read(fast, n)
	}()
	for range n {
		r.publish("/a/b", text)
	}
	<-done
	read(slow, n)
}

// Publishes of one connection are stored in their order, and commands behind
// them are carried out after them.
func TestOrderOfCommands(t *testing.T) {
	r := newRig(t, rigOptions{limits: Limits{CommandRate: 100_000}})
	p := r.dial()
	p.connect("")
	const n = 500
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"op":"publish","channel":"/a/b","data":%d}`, i+2, i))
	}
	lines = append(lines, `{"id":1000,"op":"history","channel":"/a/b","limit":256}`, `{"id":1001,"op":"subscribe","channel":"/a/b"}`)
	p.send(lines...)
	last := 0.0
	for i := range n {
		o := p.next()
		if o["re"] != float64(i+2) || o["offset"].(float64) <= last {
			t.Fatalf("answer %d is %v", i, o)
		}
		last = o["offset"].(float64)
	}
	h := p.next()
	if all := h["messages"].([]any); h["re"] != 1000.0 || all[len(all)-1].(map[string]any)["o"] != last {
		t.Fatalf("the history does not end with the last publish: %v", h["re"])
	}
	p.want(fmt.Sprintf(`{"re":1001,"offset":%d}`, int(last)))
}

// A gap tells what retention has removed.
func TestGap(t *testing.T) {
	r := newRig(t, rigOptions{store: engine.Rule{Messages: 2}})
	p := r.dial()
	epoch := p.connect("")["epoch"]
	r.publish("/a/b", 1, 2, 3, 4, 5)
	p.send(fmt.Sprintf(`{"id":2,"op":"subscribe","channel":"/a/b","after":2,"epoch":%q}`, epoch))
	p.want(`{"re":2,"offset":6}`)
	p.want(`{"ch":"/a/b","gap":"map[after:2 reason:expired to:4]"}`)
	p.want(`{"ch":"/a/b","o":5,"p":4,"d":4}`)
	p.want(`{"ch":"/a/b","o":6,"p":5,"d":5}`)
	p.want(`{"ch":"/a/b","at":6}`)
}

func TestChannelLimit(t *testing.T) {
	r := newRig(t, rigOptions{session: session.Limits{Channels: 2}})
	p := r.dial()
	p.connect(`"epoch":"0000000000000001","last":{"/a/1":0,"/a/2":0}`)
	for range 2 {
		p.next() // at
	}
	p.send(`{"id":2,"op":"subscribe","channel":"/a/3"}`, `{"id":3,"op":"unsubscribe","channel":"/a/1"}`, `{"id":4,"op":"subscribe","channel":"/a/3"}`)
	p.want(`{"re":2,"error":"map[code:too_large message:the session has 2 channels already (session.max_channels)]"}`)
	p.want(`{"re":3}`)
	p.want(`{"re":4,"offset":1}`)
}

// Clients come and go at random while messages are published: each one sees an
// unbroken chain from its first position to the last message.
func TestChurn(t *testing.T) {
	r := newRig(t, rigOptions{session: session.Limits{Window: 16}})
	const messages, clients = 600, 12

	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range messages {
			r.publish("/a/b", i)
		}
	}()
	errs := make(chan error, clients)
	for i := range clients {
		go func() { errs <- r.follow(i, messages) }()
	}
	<-published
	for range clients {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// follow reads the channel to its n-th message, over many connections.
func (r *rig) follow(seed, n int) error {
	position, next := 0, 0
	epoch := "0000000000000001"
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for next < n && ctx.Err() == nil {
		p, err := r.tryDial()
		if err != nil {
			return err
		}
		p.send(fmt.Sprintf(`{"id":1,"op":"connect","epoch":%q,"last":{"/a/b":%d}}`, epoch, position))
		for k := 0; next < n && k < 50+seed*7; k++ {
			text, err := p.text()
			if err != nil {
				return err
			}
			var o struct {
				Epoch string
				O, P  int
				D     int
				At    int
				Error any
			}
			if err := json.Unmarshal([]byte(text), &o); err != nil {
				return err
			}
			switch {
			case o.Error != nil:
				return fmt.Errorf("client %d: %s", seed, text)
			case o.Epoch != "":
				epoch = o.Epoch
			case o.O != 0:
				if o.P > position || o.O <= position || o.D != next {
					return fmt.Errorf("client %d at %d, next %d: %s", seed, position, next, text)
				}
				position, next = o.O, next+1
				if next%5 == 0 {
					p.send(fmt.Sprintf(`{"op":"ack","last":{"/a/b":%d}}`, position))
				}
			}
		}
		p.conn.Close()
	}
	if next < n {
		return fmt.Errorf("client %d has seen %d of %d messages", seed, next, n)
	}
	return nil
}
