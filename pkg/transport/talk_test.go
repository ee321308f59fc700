package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/orbitd/orbitd/pkg/protocol"
)

// A way is a transport, and what carries it.
type way struct {
	transport string // a path
	over      carriage
}

type carriage int

const (
	bare     carriage = iota
	sealed            // TLS
	second            // HTTP/2, which is with TLS
	deflated          // permessage-deflate, by a client that nobody here wrote
	deflatedSealed
)

func (w way) String() string {
	return strings.TrimPrefix(w.transport, "/v1/") + [...]string{"", " over TLS", " over HTTP-2", " with deflate", " with deflate over TLS"}[w.over]
}

// ways are all that there are. A WebSocket is not carried by HTTP/2.
var ways = []way{
	{Path, bare}, {StreamPath, bare}, {SSEPath, bare}, {PollPath, bare},
	{Path, sealed}, {StreamPath, sealed}, {SSEPath, sealed}, {PollPath, sealed},
	{StreamPath, second}, {SSEPath, second}, {PollPath, second},
	{Path, deflated}, {Path, deflatedSealed},
}

// A talk is a client's connection on any transport: it sends commands, and is sent
// objects. It keeps the client's positions, for that is what polls are made of;
// over polls it goes on until its session is told to end.
type talk struct {
	t      testing.TB
	r      *rig
	way    way
	header []string
	client *http.Client
	end    context.CancelFunc
	ctx    context.Context

	conn    net.Conn    // of a WebSocket
	foreign *coder.Conn // instead of it, with permessage-deflate
	in      *bufio.Reader
	body    io.ReadCloser // of stream and sse
	queue   []string      // objects that were not asked for yet
	out     []string      // commands for the next poll
	wait    int           // of polls

	proof           []string
	auth            string // fields of connect that every poll repeats
	session, secret string
	epoch           string
	last            map[string]uint64
	starts          map[float64]object // subscribes that are not answered
	known           map[string]bool    // channels whose first at has come
}

var errEnd = errors.New("the connection has ended")

// dialer makes the connections of one talk; nil is net.Dial.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// on opens a connection and a session with these fields of connect.
func (r *rig) on(w way, fields string, header ...string) (*talk, object) {
	r.t.Helper()
	c, hello, err := r.tryOn(w, nil, fields, header...)
	must(r.t, err)
	return c, hello
}

func (r *rig) tryOn(w way, dial dialer, fields string, header ...string) (c *talk, hello object, err error) {
	c = r.talk(w, dial, header...)
	if fields != "" {
		fields = "," + fields
	}
	if err = c.open(`{"id":1,"op":"connect"` + fields + `}`); err != nil {
		return nil, nil, err
	}
	text, err := c.text()
	if err != nil {
		return nil, nil, err
	}
	return c, decode(r.t, text), nil
}

func (r *rig) talk(w way, dial dialer, header ...string) *talk {
	c := &talk{
		t: r.t, r: r, way: w, header: header, wait: 20,
		last: map[string]uint64{}, starts: map[float64]object{}, known: map[string]bool{},
	}
	c.ctx, c.end = context.WithTimeout(context.Background(), patience)
	transport := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: w.over == second}
	c.client = &http.Client{Transport: transport}
	r.t.Cleanup(c.close)
	return c
}

func (c *talk) close() {
	c.end()
	if c.foreign != nil {
		_ = c.foreign.CloseNow()
	}
	if c.conn != nil {
		c.conn.Close()
	}
	if c.body != nil {
		c.body.Close()
	}
	c.client.CloseIdleConnections()
}

func (c *talk) base() string {
	if c.way.over == bare || c.way.over == deflated {
		return c.r.http
	}
	return c.r.https
}

// open begins with a connect.
func (c *talk) open(connect string) error {
	c.noteConnect(connect)
	switch c.way.transport {
	case Path:
		if c.way.over >= deflated {
			return c.openDeflated(connect)
		}
		return c.openWebSocket(connect)
	case PollPath:
		c.out = append(c.out, connect)
		return nil
	}
	answer, err := c.post(c.way.transport, connect)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		return fmt.Errorf("status %d: %s", answer.StatusCode, b)
	}
	if (answer.ProtoMajor == 2) != (c.way.over == second) {
		return fmt.Errorf("the answer is %s", answer.Proto)
	}
	c.body, c.in = answer.Body, bufio.NewReader(answer.Body)
	return nil
}

func (c *talk) openWebSocket(connect string) error {
	h := http.Header{}
	for i := 0; i < len(c.header); i += 2 {
		h.Set(c.header[i], c.header[i+1])
	}
	d := ws.Dialer{Protocols: []string{Subprotocol}, Header: ws.HandshakeHeaderHTTP(h), TLSConfig: &tls.Config{InsecureSkipVerify: true}}
	if dial := c.client.Transport.(*http.Transport).DialContext; dial != nil {
		d.NetDial = dial
	}
	conn, br, _, err := d.Dial(c.ctx, "ws"+strings.TrimPrefix(c.base(), "http")+Path)
	if err != nil {
		return err
	}
	if br == nil {
		br = bufio.NewReader(conn)
	}
	c.conn, c.in = conn, br
	_ = conn.SetDeadline(time.Now().Add(patience))
	return wsutil.WriteClientText(conn, []byte(connect))
}

func (c *talk) openDeflated(connect string) error {
	h := http.Header{}
	for i := 0; i < len(c.header); i += 2 {
		h.Set(c.header[i], c.header[i+1])
	}
	conn, answer, err := coder.Dial(c.ctx, c.base()+Path, &coder.DialOptions{
		HTTPClient: c.client, HTTPHeader: h, Subprotocols: []string{Subprotocol},
		CompressionMode: coder.CompressionNoContextTakeover, CompressionThreshold: 1,
	})
	if err != nil {
		return err
	}
	if answer.Header.Get("Sec-WebSocket-Extensions") == "" {
		return errors.New("the server does not compress")
	}
	conn.SetReadLimit(-1)
	c.foreign = conn
	return conn.Write(c.ctx, coder.MessageText, []byte(connect))
}

func (c *talk) post(path, body string, header ...string) (*http.Response, error) {
	q, err := http.NewRequestWithContext(c.ctx, http.MethodPost, c.base()+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for _, h := range [][]string{c.header, header} {
		for i := 0; i < len(h); i += 2 {
			q.Header.Set(h[i], h[i+1])
		}
	}
	return c.client.Do(q)
}

// send sends commands on the way that the transport has for them.
func (c *talk) send(lines ...string) {
	c.t.Helper()
	must(c.t, c.trySend(lines...))
}

func (c *talk) trySend(lines ...string) error {
	for _, line := range lines {
		if o := decode(c.t, line); o["op"] == "subscribe" {
			c.starts[o["id"].(float64)] = o
		} else if o["op"] == "unsubscribe" {
			delete(c.last, o["channel"].(string))
		}
	}
	body := strings.Join(lines, "\n")
	switch c.way.transport {
	case Path:
		if c.foreign != nil {
			return c.foreign.Write(c.ctx, coder.MessageText, []byte(body))
		}
		return wsutil.WriteClientText(c.conn, []byte(body))
	case PollPath:
		c.out = append(c.out, lines...)
		return nil
	}
	answer, err := c.post(SendPath, body, append([]string{sessionHeader, c.session, secretHeader, c.secret}, c.proof...)...)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		b, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("send: %d %s", answer.StatusCode, b)
	}
	return nil
}

// text returns the next object, or the error that ends the connection.
func (c *talk) text() (string, error) {
	for len(c.queue) == 0 {
		if err := c.more(); err != nil {
			return "", err
		}
	}
	text := c.queue[0]
	c.queue = c.queue[1:]
	return text, nil
}

func (c *talk) readText() (b []byte, err error) {
	if c.foreign != nil {
		_, b, err = c.foreign.Read(c.ctx)
		return b, err
	}
	return wsutil.ReadServerText(readWriter{c.in, c.conn})
}

func (c *talk) more() error {
	switch c.way.transport {
	case Path:
		b, err := c.readText()
		if err != nil {
			return err
		}
		for line := range protocol.Lines(b) {
			c.note(string(line))
		}
		return nil
	case PollPath:
		return c.poll()
	}
	line, err := c.in.ReadString('\n')
	if err != nil {
		return err
	}
	line = strings.TrimSuffix(line, "\n")
	if c.way.transport == SSEPath {
		var ok bool
		if line, ok = strings.CutPrefix(line, "data: "); !ok {
			return nil
		}
	}
	c.note(line)
	return nil
}

// poll makes one poll, which begins with a connect of its own but where the test
// has given one.
func (c *talk) poll() error {
	commands := c.out
	c.out = nil
	first := c.session == ""
	if !first {
		commands = slices.Insert(commands, 0, c.connect())
	}
	wait := c.wait
	if first {
		wait = 0
	}
	answer, err := c.post(fmt.Sprintf("%s?wait=%d", PollPath, wait), strings.Join(commands, "\n"))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if (answer.ProtoMajor == 2) != (c.way.over == second) {
		return fmt.Errorf("the answer is %s", answer.Proto)
	}
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("poll: %d %s", answer.StatusCode, b)
	}
	if len(b) == 0 {
		return errEnd // displaced
	}
	for line := range protocol.Lines(b) {
		if !first && bytes.HasPrefix(line, []byte(`{"re":1,"session"`)) {
			c.connected(decode(c.t, string(line)))
			continue
		}
		c.note(string(line))
	}
	return nil
}

// connect names session and positions.
func (c *talk) connect() string {
	last, err := json.Marshal(c.last)
	must(c.t, err)
	text := fmt.Sprintf(`{"id":1,"op":"connect","session":%q,"secret":%q,"epoch":%q,"last":%s%s}`, c.session, c.secret, c.epoch, last, c.auth)
	return text
}

// noteConnect keeps of a connect what polls repeat.
func (c *talk) noteConnect(text string) {
	o := decode(c.t, text)
	if token, ok := o["token"].(string); ok { // for who else may send
		c.proof = []string{"Authorization", "Bearer " + token}
	}
	for _, name := range []string{"token", "client", "ack"} {
		if v, ok := o[name].(string); ok {
			c.auth += fmt.Sprintf(",%q:%q", name, v)
		}
	}
	if last, ok := o["last"].(map[string]any); ok {
		for name, offset := range last {
			c.last[name] = uint64(offset.(float64))
		}
	}
}

// note takes an object in: it moves the client's positions.
func (c *talk) note(text string) {
	o := decode(c.t, text)
	name, _ := o["ch"].(string)
	switch {
	case o["session"] != nil:
		c.connected(o)
	case o["re"] != nil && c.starts[o["re"].(float64)] != nil:
		c.subscribed(o)
	case o["o"] != nil:
		c.last[name] = uint64(o["o"].(float64))
	case o["at"] != nil:
		if c.way.transport == PollPath && c.known[name] {
			return // each poll has one, which is no news
		}
		c.known[name] = true
		c.last[name] = max(c.last[name], uint64(o["at"].(float64)))
	case o["gap"] != nil:
		c.last[name] = uint64(o["gap"].(map[string]any)["to"].(float64))
	case o["revoked"] != nil:
		delete(c.last, name)
	}
	c.queue = append(c.queue, text)
}

func (c *talk) connected(o object) {
	if o["error"] != nil {
		return
	}
	c.session, c.secret, c.epoch = o["session"].(string), o["secret"].(string), o["epoch"].(string)
}

func (c *talk) subscribed(o object) {
	asked := c.starts[o["re"].(float64)]
	delete(c.starts, o["re"].(float64))
	if o["error"] != nil {
		return
	}
	name := asked["channel"].(string)
	c.last[name] = uint64(o["offset"].(float64))
	c.known[name] = true
	if after, ok := asked["after"].(float64); ok {
		c.last[name], c.known[name] = uint64(after), false
	}
}

func (c *talk) next() object {
	c.t.Helper()
	text, err := c.text()
	must(c.t, err)
	return decode(c.t, text)
}

func decode(t testing.TB, text string) (o object) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return o
}

// want reads the next object and compares it, without what differs from run to
// run.
func (c *talk) want(text string) object {
	c.t.Helper()
	got := c.next()
	compare(c.t, got, text)
	return got
}

// compare compares an object, without what differs from run to run.
func compare(t testing.TB, got object, text string) {
	t.Helper()
	if diff := difference(got, decode(t, text)); diff != "" {
		t.Fatalf("%s in %v, want %s", diff, got, text)
	}
}

func difference(got, want object) string {
	for k, v := range want {
		if g, w := fmt.Sprint(got[k]), fmt.Sprint(v); g != w && w != "map[]" {
			return fmt.Sprintf("%s is %s", k, g)
		}
	}
	for k := range maps.Keys(got) {
		if _, ok := want[k]; !ok && k != "t" && k != "epoch" {
			return k + " is not wanted"
		}
	}
	return ""
}

// ended reads on until the connection has ended, and returns the bye, if any.
func (c *talk) ended() (bye object) {
	c.t.Helper()
	for {
		text, err := c.text()
		if err != nil {
			return bye
		}
		if o := decode(c.t, text); o["bye"] != nil {
			bye = o
			if c.way.transport == PollPath {
				return bye
			}
		}
	}
}
