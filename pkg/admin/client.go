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
	"time"
)

// A Client asks a daemon over its control socket.
type Client struct {
	Socket string
}

// patience is how long an answer may take, beside what is asked for.
const patience = 5 * time.Second

// Status asks how the daemon is.
func (c Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.do(ctx, patience, http.MethodGet, "/status", "", &s)
}

// Reload has the daemon read its configuration again, and waits for the verdict.
func (c Client) Reload(ctx context.Context) (v Verdict, err error) {
	return v, c.do(ctx, ApplyTime+patience, http.MethodPost, "/reload", "", &v)
}

// EndLogin ends a login, named by its id or a token of it.
func (c Client) EndLogin(ctx context.Context, login string) error {
	return c.ask(ctx, ApplyTime+patience, "/end-login", login)
}

// Recheck has the users who are connected looked up again, or the one that is named.
func (c Client) Recheck(ctx context.Context, user string) error {
	if _, err := c.Status(ctx); err != nil {
		return err // at once, and not when directories would have answered
	}
	return c.ask(ctx, RecheckTime+patience, "/recheck?user="+url.QueryEscape(user), "")
}

// ask makes a request whose answer is an outcome.
func (c Client) ask(ctx context.Context, limit time.Duration, path, body string) error {
	var o outcome
	if err := c.do(ctx, limit, http.MethodPost, path, body, &o); err != nil {
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

// do makes a request that has been answered within a limit, or never is.
func (c Client) do(ctx context.Context, limit time.Duration, method, path, body string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
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
		return c.explain(limit, err)
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
func (c Client) explain(limit time.Duration, err error) error {
	hint := ""
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("%s: no answer for %s", c.Socket, limit)
		hint = "\nhint: journalctl -u orbitd -p err says why, as where the daemon cannot start, whose socket systemd holds"
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		hint = "\nhint: no daemon listens there; start it, or name its server.control with --socket (that of make run is var/control.sock)"
	case errors.Is(err, fs.ErrPermission):
		hint = "\nhint: root and the members of the socket's group may"
	}
	return fmt.Errorf("ask the daemon: %w%s", err, hint)
}
