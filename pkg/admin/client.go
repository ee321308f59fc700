package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// A Client asks a daemon over its control socket.
type Client struct {
	Socket string
}

// Status asks how the daemon is.
func (c Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.do(ctx, http.MethodGet, "/status", "", &s)
}

// Reload has the daemon read its configuration again, and waits for the verdict.
func (c Client) Reload(ctx context.Context) (v Verdict, err error) {
	return v, c.do(ctx, http.MethodPost, "/reload", "", &v)
}

// EndLogin ends a login, named by its id or a token of it.
func (c Client) EndLogin(ctx context.Context, login string) error {
	return c.ask(ctx, "/end-login", login)
}

// Recheck has the users who are connected looked up again, or the one that is named.
func (c Client) Recheck(ctx context.Context, user string) error {
	return c.ask(ctx, "/recheck?user="+url.QueryEscape(user), "")
}

// ask makes a request whose answer is an outcome.
func (c Client) ask(ctx context.Context, path, body string) error {
	var o outcome
	if err := c.do(ctx, http.MethodPost, path, body, &o); err != nil {
		return err
	}
	if o.Error != "" {
		return Refusal(o.Error)
	}
	return nil
}

// A Refusal is an error that the daemon has answered with; others are of the way there.
type Refusal string

func (r Refusal) Error() string { return string(r) }

func (c Client) do(ctx context.Context, method, path, body string, into any) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", c.Socket)
		},
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://orbitd"+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return c.explain(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusUnprocessableEntity {
		return fmt.Errorf("%s: the daemon answers %s to %s; is it of another version?", c.Socket, answer.Status, path)
	}
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		return fmt.Errorf("%s: the daemon's answer: %w", c.Socket, err)
	}
	return nil
}

// explain says what to do about the common reasons.
func (c Client) explain(err error) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		hint = "\nhint: no daemon listens there; start it, or name its server.control with --socket (that of make run is var/control.sock)"
	case errors.Is(err, fs.ErrPermission):
		hint = "\nhint: root and the members of the socket's group may"
	}
	return fmt.Errorf("ask the daemon: %w%s", err, hint)
}
