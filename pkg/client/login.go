package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// Login returns a source of tokens for [Options.Token] that asks the server's
// /v1/login with a user's password each time. server and config are URL and TLS of
// Options.
func Login(server, user, password string, config *tls.Config) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		token, err := login(ctx, server, user, password, config)
		if err != nil {
			return "", fmt.Errorf("log in as %s: %w", user, err)
		}
		return token, nil
	}
}

func login(ctx context.Context, server, user, password string, config *tls.Config) (string, error) {
	address, err := loginURL(server)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, nil)
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(user, password)
	// One call now and then: nothing of it is kept.
	once := http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, DisableKeepAlives: true}}
	res, err := once.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		if o, err := protocol.Parse(body); err == nil && o.Err != nil {
			return "", o.Err
		}
		return "", fmt.Errorf("the server answered %s", res.Status)
	}
	var answer struct{ Token string }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		return "", message.Errorf(message.Internal, "the server's answer has no token")
	}
	return answer.Token, nil
}

func loginURL(server string) (string, error) {
	ws, err := endpoint(server)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(ws)
	if err != nil {
		return "", err
	}
	u.Scheme = strings.Replace(u.Scheme, "ws", "http", 1)
	u.Path = strings.TrimSuffix(u.Path, "/v1/ws") + "/v1/login"
	u.RawQuery = ""
	return u.String(), nil
}
