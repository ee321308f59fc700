package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/httpserver"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/origin"
	"github.com/orbitd/orbitd/pkg/reactor"
	"github.com/orbitd/orbitd/pkg/session"
)

// names authenticates whoever gives a name as a token, with the groups behind a
// slash: "alice/editors".
type names struct{}

func (names) Authenticate(_ context.Context, c auth.Credentials) (*auth.Identity, error) {
	user, group, _ := strings.Cut(c.Token, "/")
	if user == "wrong" {
		return nil, message.Errorf(message.Unauthorized, "wrong user name, password or token")
	}
	id := &auth.Identity{User: user, Realm: "names"}
	if group != "" {
		id.Groups = []string{group}
	}
	return id, nil
}

// gone is a user who is no longer known when asked for again.
const gone = "mallory"

func (names) Refresh(_ context.Context, id *auth.Identity) (*auth.Identity, error) {
	if id.User == gone {
		return nil, message.Errorf(message.Unauthorized, "no such user")
	}
	return id, nil
}

func (names) Vouches(string, string) bool { return true }

func (names) Ended(*auth.Identity) bool { return false }

// A rig is the whole core on a memory engine, behind a listener that upgrades
// everything.
type rig struct {
	t        testing.TB
	engine   *memory.Engine
	broker   *broker.Broker
	sessions *session.Manager
	gate     *origin.Gate
	server   *Server
	url      string // of WebSockets, whose handshakes are answered as they come
	http     string // of everything, by the HTTP server that the daemon has
	https    string // the same with TLS, and HTTP/2
	reactor  *reactor.Reactor
	log      *bytes.Buffer // complete when the test is
}

type rigOptions struct {
	session session.Limits
	limits  Limits
	rules   string // see policy
	loops   int
	message int // bytes of the largest; default: the broker's
	stall   time.Duration
	store   engine.Rule
	quotas  map[string]broker.Quota
	now     func() time.Time                  // the server's
	engine  func(engine.Engine) engine.Engine // what the broker is given of it
}

// compressFrom is below the size of nearly all messages.
const compressFrom = 64

// engineAhead is how far the engine's clock is ahead of everybody else's.
const engineAhead = time.Hour

const openRules = "/** * *"

func newRig(t testing.TB, o rigOptions) *rig {
	t.Helper()
	r := &rig{t: t, gate: origin.NewGate(origin.Rules{})}
	if o.rules == "" {
		o.rules = openRules
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.loops == 0 {
		o.loops = 2
	}
	storage := func(channel.Name) engine.Rule { return o.store }
	r.engine = memory.New(memory.Options{Rules: storage, Now: func() time.Time { return time.Now().Add(engineAhead) }})
	r.log = &bytes.Buffer{}
	log := logrus.New()
	log.SetOutput(io.MultiWriter(t.Output(), r.log))
	log.SetLevel(logrus.DebugLevel)
	if o.engine == nil {
		o.engine = func(e engine.Engine) engine.Engine { return e }
	}
	var err error
	r.broker, err = broker.New(broker.Options{Engine: o.engine(r.engine), Rights: broker.Rights{Policy: policy(t, o.rules), Auth: names{}, Storage: storage, Quotas: o.quotas}, MaxMessage: o.message})
	must(t, err)
	re, err := reactor.New(reactor.Options{Loops: o.loops, Logger: log, Tick: 20 * time.Millisecond})
	must(t, err)
	r.reactor = re
	var hubLoops []hub.Loop
	var sessionLoops []session.Loop
	for _, l := range re.Loops() {
		hubLoops, sessionLoops = append(hubLoops, l), append(sessionLoops, l)
	}
	h := hub.New(hubLoops)
	r.sessions, err = session.NewManager(session.Options{
		Broker: r.broker, Hub: h, Loops: sessionLoops, Limits: o.session, Logger: log, Now: time.Now,
	})
	must(t, err)
	var front *httpserver.Server
	r.server, err = New(Options{Broker: r.broker, Sessions: r.sessions, Loops: re.Loops(), Limits: o.limits, Gate: r.gate, Logger: log, Now: o.now, CompressFrom: compressFrom,
		Idle: func(c *reactor.Conn) reactor.Handler { return front.Idle(c) }, stall: o.stall})
	must(t, err)
	stop := r.engine.Tail(h.Commit)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	r.url = "ws://" + l.Addr().String() + Path
	must(t, re.Listen(l, func(*reactor.Conn) reactor.Handler { return upgrading{r.server} }))
	front, err = httpserver.New(httpserver.Options{
		Reactor: re, Handler: r.server, UpgradePath: Path, Upgrade: r.server.Upgrade, Logger: log, Now: time.Now,
	})
	must(t, err)
	hl, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, front.Listen(hl))
	r.http = "http://" + hl.Addr().String()
	tl, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, front.ListenTLS(tl, &tls.Config{Certificates: certificate(), NextProtos: httpserver.Protocols()}))
	r.https = "https://" + tl.Addr().String()
	t.Cleanup(func() {
		stop()
		r.server.Drain(time.Nanosecond)
		must(t, front.Shutdown(context.Background()))
		hl.Close()
		tl.Close()
		must(t, r.broker.Close(context.Background()))
		must(t, re.Close(context.Background()))
		must(t, r.engine.Close(context.Background()))
		l.Close()
	})
	return r
}

// certificate is one that nobody trusts.
var certificate = sync.OnceValue(func() []tls.Certificate {
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return s.TLS.Certificates
})

// upgrading takes a connection's first request as a handshake.
type upgrading struct{ server *Server }

func (u upgrading) Data(c *reactor.Conn, b []byte) int {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return 0
	}
	if next, ok := u.server.Upgrade(c, b[:end+4]); ok {
		c.SetHandler(next)
	} else {
		c.Close()
	}
	return end + 4
}
func (upgrading) Writable(*reactor.Conn)      {}
func (upgrading) Closed(*reactor.Conn, error) {}

// policy compiles lines of "pattern subscribers publishers", the lists
// separated by commas, "-" for nobody.
func policy(t testing.TB, rules string) *acl.Policy {
	t.Helper()
	var compiled []acl.Rule
	for line := range strings.Lines(rules) {
		f := strings.Fields(line)
		match, err := channel.ParsePattern(f[0])
		must(t, err)
		compiled = append(compiled, acl.Rule{Match: match, Subscribe: principals(t, f[1]), Publish: principals(t, f[2])})
	}
	p, err := acl.Compile(compiled)
	must(t, err)
	return p
}

func principals(t testing.TB, list string) (all []acl.Principal) {
	t.Helper()
	if list == "-" {
		return nil
	}
	for name := range strings.SplitSeq(list, ",") {
		p, err := acl.ParsePrincipal(name)
		must(t, err)
		all = append(all, p)
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) publish(name channel.Name, payloads ...any) (last message.Offset) {
	r.t.Helper()
	for _, p := range payloads {
		data, err := json.Marshal(p)
		must(r.t, err)
		receipts, err := engine.Publish(r.t.Context(), r.engine, message.Message{Channel: name, Data: data})
		must(r.t, err)
		last = receipts[0].Offset
	}
	return last
}

// A peer is a WebSocket client that reads one object at a time.
type peer struct {
	t    testing.TB
	conn net.Conn
	in   io.Reader
	rest [][]byte
}

// patience bounds a wait that ends a test as failed.
const patience = time.Minute

func (r *rig) dial(header ...string) *peer {
	r.t.Helper()
	p, err := r.tryDial(header...)
	must(r.t, err)
	return p
}

func (r *rig) tryDial(header ...string) (*peer, error) {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	d := ws.Dialer{Protocols: []string{Subprotocol}, Header: ws.HandshakeHeaderHTTP(h)}
	conn, br, _, err := d.Dial(r.t.Context(), r.url)
	if err != nil {
		return nil, err
	}
	p := &peer{t: r.t, conn: conn, in: conn}
	if br != nil {
		p.in = br
	}
	must(r.t, conn.SetDeadline(time.Now().Add(patience)))
	r.t.Cleanup(func() { conn.Close() })
	return p, nil
}

func (p *peer) send(lines ...string) {
	p.t.Helper()
	must(p.t, wsutil.WriteClientText(p.conn, []byte(strings.Join(lines, "\n"))))
}

type readWriter struct {
	io.Reader
	io.Writer
}

// text returns the next object as text, or the error that ends the connection.
func (p *peer) text() (string, error) {
	for len(p.rest) == 0 {
		b, err := wsutil.ReadServerText(readWriter{p.in, p.conn})
		if err != nil {
			return "", err
		}
		for line := range bytes.SplitSeq(b, []byte("\n")) {
			p.rest = append(p.rest, line)
		}
	}
	line := p.rest[0]
	p.rest = p.rest[1:]
	return string(line), nil
}

type object map[string]any

func (p *peer) next() object {
	p.t.Helper()
	text, err := p.text()
	must(p.t, err)
	var o object
	must(p.t, json.Unmarshal([]byte(text), &o))
	return o
}

// want reads the next object and compares it, without the fields that differ
// from run to run.
func (p *peer) want(text string) object {
	p.t.Helper()
	got := p.next()
	var want object
	must(p.t, json.Unmarshal([]byte(text), &want))
	for k, v := range want {
		if g, w := fmt.Sprint(got[k]), fmt.Sprint(v); g != w && w != "map[]" {
			p.t.Fatalf("%s is %s, want %s in %v", k, g, w, got)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok && k != "t" && k != "epoch" {
			p.t.Fatalf("%s is not wanted in %v", k, got)
		}
	}
	return got
}

// connect opens a session and returns the reply.
func (p *peer) connect(fields string) object {
	p.t.Helper()
	if fields != "" {
		fields = "," + fields
	}
	p.send(`{"id":1,"op":"connect"` + fields + `}`)
	o := p.next()
	if o["re"] != 1.0 || o["session"] == nil {
		p.t.Fatalf("not connected: %v", o)
	}
	return o
}

// closed reads on until the connection ends and returns its close code.
func (p *peer) closed() ws.StatusCode {
	p.t.Helper()
	for {
		_, err := p.text()
		if ended, ok := errors.AsType[wsutil.ClosedError](err); ok {
			return ended.Code
		}
		must(p.t, err)
	}
}
