package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// An Issuer signs tokens: tokenauth.Authenticator.
type Issuer interface {
	Issue(id *auth.Identity) (token string, expires time.Time, err error)
}

// Options are what an API is made of. All are required, but for Issuer: without
// one nobody can log in.
type Options struct {
	Broker *broker.Broker
	Issuer func() Issuer // asked at each login, since a reload may replace it
	// TokenOf returns the token in a request's cookie.
	TokenOf func(*http.Request) string
	Cookie  string // the name of that cookie
	// OriginAllowed reports whether a page of the origin may call the host.
	OriginAllowed func(origin, host string) bool
	Logger        logrus.FieldLogger
}

// An API serves the calls below /v1. It may be used concurrently.
type API struct {
	Options
	mux http.ServeMux
}

// New returns an API.
func New(o Options) (*API, error) {
	if o.Broker == nil || o.TokenOf == nil || o.OriginAllowed == nil || o.Logger == nil || o.Cookie == "" {
		return nil, errors.New("httpapi: broker, cookie, origins and logger are required")
	}
	a := &API{Options: o}
	a.mux.HandleFunc("POST /v1/publish/{channel...}", a.publish)
	a.mux.HandleFunc("POST /v1/publish", a.publishMany)
	a.mux.HandleFunc("GET /v1/history/{channel...}", a.history)
	a.mux.HandleFunc("POST /v1/login", a.login)
	return a, nil
}

// maxDuration bounds one call, so that a slow peer does not hold on to it.
const maxDuration = time.Minute

// ServeHTTP answers one call. A page of another origin than those allowed is
// refused before anything is done, whatever it brings to identify itself.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	deadline := time.Now().Add(maxDuration)
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(deadline) // not all writers can; the server's own can
	_ = control.SetWriteDeadline(deadline)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		if !a.OriginAllowed(origin, r.Host) {
			a.fail(w, message.Errorf(message.Forbidden, "this page's origin may not call; add it to server.origins"))
			return
		}
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		if r.Method == http.MethodOptions {
			preflight(w)
			return
		}
	}
	a.mux.ServeHTTP(w, r)
}

// preflight answers a browser that asks what it may send.
func preflight(w http.ResponseWriter) {
	w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Idempotency-Key, Orbit-First, Orbit-Previous-Key")
	w.Header().Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
}

// credentials returns what a request brings to identify itself. A cookie counts
// only for a page that was allowed by its origin, which ServeHTTP has checked:
// so a foreign page's form gains nothing by it.
func (a *API) credentials(r *http.Request) auth.Credentials {
	if token, ok := bearer(r); ok {
		return auth.Credentials{Token: token}
	}
	if user, password, ok := r.BasicAuth(); ok {
		return auth.Credentials{User: user, Password: password}
	}
	if r.Header.Get("Origin") != "" {
		return auth.Credentials{Token: a.TokenOf(r)}
	}
	return auth.Credentials{}
}

func bearer(r *http.Request) (token string, ok bool) {
	const scheme = "bearer "
	h := r.Header.Get("Authorization")
	if len(h) <= len(scheme) || !strings.EqualFold(h[:len(scheme)], scheme) {
		return "", false
	}
	return h[len(scheme):], true
}

func (a *API) who(r *http.Request) (*broker.Who, error) {
	c := a.credentials(r)
	if c.Empty() && r.Header.Get("Authorization") != "" {
		return nil, message.Errorf(message.Unauthorized, "the Authorization header is neither Bearer nor Basic with a user")
	}
	id, err := a.Broker.Authenticate(r.Context(), c)
	return broker.NewWho(id), err
}

// status is PROTOCOL.md's table of codes; what is not in it is a fault of ours.
var status = map[message.Code]int{
	message.BadRequest:     http.StatusBadRequest,
	message.Unauthorized:   http.StatusUnauthorized,
	message.Forbidden:      http.StatusForbidden,
	message.UnknownChannel: http.StatusNotFound,
	message.Conflict:       http.StatusConflict,
	message.OutOfOrder:     http.StatusConflict,
	message.KeyExpired:     http.StatusGone,
	message.SessionExpired: http.StatusGone,
	message.TooLarge:       http.StatusRequestEntityTooLarge,
	message.RateLimited:    http.StatusTooManyRequests,
	message.Internal:       http.StatusInternalServerError,
	message.Unavailable:    http.StatusServiceUnavailable,
	message.Unknown:        http.StatusServiceUnavailable,
}

func (a *API) fail(w http.ResponseWriter, err error) {
	e := message.AsError(err)
	if e.Cause != nil && e.Code == message.Internal && !errors.Is(err, context.Canceled) {
		a.Logger.WithError(err).Error("a call failed")
	}
	if e.Code == message.Unauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="orbitd", Basic realm="orbitd", charset="UTF-8"`)
	}
	reply(w, status[e.Code], protocol.AppendError(nil, 0, e))
}

func reply(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // a peer that has gone does not read it
}
