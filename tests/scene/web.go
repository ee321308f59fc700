package scene

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/message"
)

// Ways are those of clients, by turns. A source is an EventSource without a library.
var Ways = []string{"websocket", "stream", "sse", "poll", "source"}

// A web is a client over plain HTTP: it names where it stands and hands on all that
// it is sent, so that what comes twice is seen.
type web struct {
	*Witness
	base   string
	client *http.Client

	session, secret string
	epoch           string // of last
	last            map[string]uint64
	unacked         int
	id              string // a source's
}

// An answer is an object of the server.
type answer struct {
	Session, Secret, Epoch string
	Ch                     string
	O                      uint64
	D                      json.RawMessage
	At                     uint64
	Gap                    *struct{ After, To uint64 }
	Error                  *struct{ Code, Message string }
}

// Browse runs a client until ctx ends.
func (w *Witness) Browse(ctx context.Context, way string, to Door, cut *Cutter) {
	transport := &http.Transport{DialContext: cut.Dial, TLSClientConfig: to.Trusts, ForceAttemptHTTP2: to.Second}
	defer transport.CloseIdleConnections()
	c := &web{Witness: w, base: to.URL, client: &http.Client{Transport: transport}, last: map[string]uint64{}}
	for _, ch := range Channels {
		c.last[string(ch)] = 0
	}
	connect := map[string]func(context.Context) error{
		"stream": func(ctx context.Context) error { return c.follow(ctx, "/v1/stream") },
		"sse":    func(ctx context.Context) error { return c.follow(ctx, "/v1/sse") },
		"poll":   func(ctx context.Context) error { return c.follow(ctx, "/v1/poll?wait=5") },
		"source": c.source,
	}[way]
	for ctx.Err() == nil && w.Failed == nil {
		if err := connect(ctx); err != nil && ctx.Err() == nil {
			time.Sleep(time.Duration(20+rand.IntN(50)) * time.Millisecond) // as every client waits
		}
	}
}

// follow makes one request whose body is a connect, and reads the answer to its end.
func (c *web) follow(ctx context.Context, path string) error {
	last, err := json.Marshal(c.last)
	if err != nil {
		return err
	}
	body := fmt.Sprintf(`{"id":1,"op":"connect","epoch":%q,"last":%s`, c.epoch, last)
	if c.epoch == "" {
		body = fmt.Sprintf(`{"id":1,"op":"connect","last":%s`, last)
	}
	if c.session != "" {
		body += fmt.Sprintf(`,"session":%q,"secret":%q`, c.session, c.secret)
	}
	in, err := c.do(ctx, http.MethodPost, path, body+"}")
	if err != nil {
		return err
	}
	defer in.Close()
	if strings.HasPrefix(path, "/v1/poll") {
		whole, err := io.ReadAll(in)
		if err != nil {
			return err // nothing of it has arrived
		}
		return c.read(ctx, strings.NewReader(string(whole)), false)
	}
	return c.read(ctx, in, true)
}

func (c *web) do(ctx context.Context, method, path, body string, header ...string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	if a.StatusCode >= 300 {
		a.Body.Close()
		return nil, fmt.Errorf("status %d", a.StatusCode)
	}
	return a.Body, nil
}

// read takes lines, or the data of events, and acknowledges now and then where the
// answer does not end.
func (c *web) read(ctx context.Context, in io.Reader, acks bool) error {
	epoch := ""
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := strings.TrimPrefix(lines.Text(), "data: ")
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var a answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			return err // cut off in the middle
		}
		if a.Session != "" {
			c.session, c.secret, epoch = a.Session, a.Secret, a.Epoch
			continue
		}
		if err := c.take(&a, epoch); err != nil {
			return err
		}
		if acks && c.unacked >= 100 {
			c.ack(ctx)
		}
	}
	return lines.Err()
}

func (c *web) take(a *answer, epoch string) error {
	switch {
	case a.Error != nil:
		return fmt.Errorf("%s: %s", a.Error.Code, a.Error.Message)
	case a.O > 0:
		c.Delivered(channel.Name(a.Ch), message.Offset(a.O), a.D)
		c.last[a.Ch], c.epoch = a.O, epoch
		c.unacked++
	case a.At > 0:
		c.last[a.Ch], c.epoch = max(c.last[a.Ch], a.At), epoch
	case a.Gap != nil:
		c.Gap(channel.Name(a.Ch), message.Offset(a.Gap.After), message.Offset(a.Gap.To))
		c.last[a.Ch], c.epoch = a.Gap.To, epoch
	}
	return nil
}

func (c *web) ack(ctx context.Context) {
	last, _ := json.Marshal(c.last) // cannot fail
	in, err := c.do(ctx, http.MethodPost, "/v1/send", fmt.Sprintf(`{"op":"ack","last":%s}`, last), "Orbit-Session", c.session, "Orbit-Secret", c.secret)
	if err == nil {
		in.Close()
		c.unacked = 0
	}
}

// source is one connection of an EventSource: it has nothing but the last id.
func (c *web) source(ctx context.Context) error {
	query := url.Values{"after": {"0"}}
	for _, ch := range Channels {
		query.Add("channel", string(ch))
	}
	var header []string
	if c.id != "" {
		header = []string{"Last-Event-ID", c.id}
	}
	in, err := c.do(ctx, http.MethodGet, "/v1/sse?"+query.Encode(), "", header...)
	if err != nil {
		return err
	}
	defer in.Close()
	c.id, err = c.ReadEvents(in, c.id)
	return err
}

// ReadEvents reads an event stream until it ends, and returns the last event's id,
// which is id where there is none. An error tells what was wrong with an event, not
// that there is an end.
func (w *Witness) ReadEvents(in io.Reader, id string) (last string, err error) {
	last = id
	id, data, name := "", "", ""
	for lines := bufio.NewReader(in); ; {
		line, end := lines.ReadString('\n')
		if end != nil {
			return last, nil // an event that is not all there is none
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "id":
			id = value
		case "data":
			data = value
		case "event":
			name = value
		case "":
			if id != "" {
				last = id
			}
			if data != "" && name != "open" {
				if err := w.Object([]byte(data)); err != nil {
					return last, err
				}
			}
			id, data, name = "", "", ""
		}
	}
}

// Object notes a message or a gap, as the server wrote it; anything else is nothing.
func (w *Witness) Object(text []byte) error {
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return err
	}
	switch {
	case a.Error != nil:
		return fmt.Errorf("%s: %s", a.Error.Code, a.Error.Message)
	case a.O > 0:
		w.Delivered(channel.Name(a.Ch), message.Offset(a.O), a.D)
	case a.Gap != nil:
		w.Gap(channel.Name(a.Ch), message.Offset(a.Gap.After), message.Offset(a.Gap.To))
	}
	return nil
}
