package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/protocol"
)

// Options say where and as whom a client connects. Only URL is required.
type Options struct {
	// URL is the server's: http, https, ws or wss. Without a path it is that of
	// the WebSocket transport, /v1/ws.
	URL string

	// Token returns who the client is; nil is anonymous. It is called before the
	// first connection and again when the server has refused the token. Its
	// error ends Run where it is definite (a *message.Error other than
	// unavailable, unknown and internal), else it is tried again.
	Token func(context.Context) (string, error)

	// Auth are further identities, each for one application, as by [Client.Auth].
	Auth []protocol.Auth

	// Client names a durable session; needs a token. It has the subscriptions that
	// are asked for before Run: others that an earlier process left are ended.
	Client string

	// Manual leaves acknowledging to the application: see [Client.Ack]. By
	// default a message is acknowledged, lazily, when its handler has returned.
	Manual bool

	// OnState is told of every connection and of its end, from Run's goroutine.
	OnState func(State)

	// Backoff returns how long to wait before a connection, after attempt
	// failures in a row, counted from 0. Default: about 50 ms, doubled each time
	// up to 10 s, jittered.
	Backoff func(attempt int) time.Duration

	// MaxPending bounds the publications that wait for an answer; publishing
	// more waits. Default 1,024.
	MaxPending int

	// MaxFrame bounds what the server may send as one message. Default 16 MiB.
	MaxFrame int

	// TLS is for https and wss; default: the system's authorities are trusted.
	TLS *tls.Config

	Dial   func(ctx context.Context, network, address string) (net.Conn, error) // default: net.Dialer
	Logger logrus.FieldLogger                                                   // default: none
}

// A State tells what has become of the connection.
type State struct {
	Connected bool
	User      string        // who the server says this is; empty for anonymous
	Resumed   bool          // the session was taken up
	Err       error         // why the connection ended or failed
	Retry     time.Duration // when the next one is tried
}

func (o Options) withDefaults() (Options, error) {
	u, err := endpoint(o.URL)
	if err != nil {
		return o, err
	}
	o.URL = u
	if o.Token == nil {
		if o.Client != "" {
			return o, errors.New("a named session needs a token: anonymous users have none")
		}
		o.Token = func(context.Context) (string, error) { return "", nil }
	}
	if o.OnState == nil {
		o.OnState = func(State) {}
	}
	if o.Backoff == nil {
		o.Backoff = backoff
	}
	if o.MaxPending <= 0 {
		o.MaxPending = 1024
	}
	if o.MaxFrame <= 0 {
		o.MaxFrame = 16 << 20
	}
	if o.Logger == nil {
		silent := logrus.New()
		silent.SetLevel(logrus.PanicLevel)
		o.Logger = silent
	}
	return o, nil
}

// endpoint returns the WebSocket URL of a server's.
func endpoint(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil {
		return "", fmt.Errorf("server URL: %w", err)
	}
	switch u.Scheme {
	case "ws", "wss":
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	default:
		return "", fmt.Errorf("server URL %q: want http, https, ws or wss, such as http://localhost:8080", text)
	}
	if u.Host == "" {
		return "", fmt.Errorf("server URL %q has no host", text)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/ws"
	}
	return u.String(), nil
}
