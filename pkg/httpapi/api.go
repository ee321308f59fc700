package httpapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/gzipped"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/origin"
	"github.com/orbitd/orbitd/pkg/protocol"
)

// An Issuer signs tokens: tokenauth.Authenticator.
type Issuer interface {
	Login(id *auth.Identity) (tokenauth.Tokens, error)
	Renew(ctx context.Context, id *auth.Identity, renewal string) (tokenauth.Tokens, error)
	LoginOf(ctx context.Context, token string) (*auth.Login, error)
	End(l auth.Login) error
}

// Options are what an API is made of. All are required, but for Issuer and Ended:
// without an issuer nobody can log in.
type Options struct {
	Broker *broker.Broker
	Issuer func() Issuer // asked at each login, since a reload may replace it
	// Ended has the clients of a login judged that was ended, and returns when they
	// are sent nothing more.
	Ended func(ctx context.Context, login string) error
	// TokenOf returns the token in a request's cookie.
	TokenOf func(*http.Request) string
	Cookie  string // the name of that cookie; that of the one that renews has "_refresh" behind it
	Gate    *origin.Gate
	Logger  logrus.FieldLogger
	// CompressFrom is from which size on histories are compressed for who accepts
	// that; 0: none are.
	CompressFrom int
	// Timeout bounds one call, so that a slow peer does not hold on to it; 0: a
	// minute.
	Timeout time.Duration
}

// An API serves the calls below /v1. It may be used concurrently.
type API struct {
	Options
	packer gzipped.Packer
}

// New returns an API.
func New(o Options) (*API, error) {
	if o.Broker == nil || o.TokenOf == nil || o.Gate == nil || o.Logger == nil || o.Cookie == "" {
		return nil, errors.New("httpapi: broker, cookie, gate and logger are required")
	}
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	return &API{Options: o}, nil
}

// answerTime is what is left for the answer once a call has used up its time.
const answerTime = 10 * time.Second

// ServeHTTP answers one call.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	deadline := time.Now().Add(a.Timeout)
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(deadline) // not all writers can; the server's own can
	_ = control.SetWriteDeadline(deadline.Add(answerTime))
	ctx, cancel := context.WithDeadline(r.Context(), deadline)
	defer cancel()
	r = r.WithContext(ctx)
	switch serve, err := a.Gate.Admit(w, r, calls); {
	case err != nil:
		a.fail(w, r, err)
	case serve:
		a.route(w, r)
	}
}

// calls is what pages of other origins may send.
var calls = origin.Resource{
	Methods: []string{http.MethodGet, http.MethodPost},
	Headers: "Authorization, Content-Type, Idempotency-Key, Orbit-First, Orbit-Previous-Key",
}

// The calls' paths; behind those that end in a slash stands a channel.
const (
	publishPath     = "/v1/publish/"
	publishManyPath = "/v1/publish"
	historyPath     = "/v1/history/"
	loginPath       = "/v1/login"
	refreshPath     = "/v1/refresh"
	logoutPath      = "/v1/logout"
)

// route finds the call by the path as it is: an http.ServeMux would redirect
// "/v1/publish/a/../b" to "/v1/publish/b", and a channel is never another.
func (a *API) route(w http.ResponseWriter, r *http.Request) {
	post := func(h http.HandlerFunc) { a.method(w, r, h, http.MethodPost) }
	switch path := r.URL.Path; {
	case path == publishManyPath:
		post(a.publishMany)
	case path == loginPath:
		post(a.login)
	case path == refreshPath:
		post(a.refresh)
	case path == logoutPath:
		post(a.logout)
	case strings.HasPrefix(path, publishPath):
		post(a.publish)
	case strings.HasPrefix(path, historyPath):
		a.method(w, r, a.history, http.MethodGet, http.MethodHead)
	default:
		refuse(w, http.StatusNotFound, "there is no such call; PROTOCOL.md, section 8, lists them")
	}
}

func (a *API) method(w http.ResponseWriter, r *http.Request, h http.HandlerFunc, allowed ...string) {
	if slices.Contains(allowed, r.Method) {
		h(w, r)
		return
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	refuse(w, http.StatusMethodNotAllowed, "the method of this call is "+allowed[0])
}

// refuse answers what is not a call at all, in the form of the calls' errors.
func refuse(w http.ResponseWriter, status int, why string) {
	reply(w, status, protocol.AppendError(nil, 0, message.Errorf(message.BadRequest, "%s", why)))
}

func (a *API) who(r *http.Request) (*broker.Who, error) {
	c, err := auth.FromRequest(r, a.TokenOf)
	if err != nil {
		return nil, err
	}
	c.From = a.Gate.SourceOf(r).Client
	id, err := a.Broker.Authenticate(r.Context(), c)
	return broker.NewWho(id).On(a.Gate.PageOf(r)), err
}

// still returns who the caller is by now, after what has taken time: its body, which it
// may have held back, or the disk.
func (a *API) still(r *http.Request, who *broker.Who) (*broker.Who, error) {
	if who.Expired(time.Now()) {
		return nil, message.Errorf(message.Unauthorized, "the login has expired; log in again")
	}
	return a.Broker.Refresh(r.Context(), who)
}

func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := message.AsError(err)
	if e.Cause != nil && e.Code == message.Internal && !errors.Is(err, context.Canceled) {
		a.Logger.WithError(err).Error("a call failed")
	}
	if e.Code == message.Unauthorized {
		auth.LogRefused(a.Logger, a.Gate.SourceOf(r).Client, e)
		w.Header().Set("WWW-Authenticate", challenge(r))
	}
	protocol.SetRetryAfter(w.Header(), e)
	reply(w, protocol.Status(e.Code), protocol.AppendError(nil, 0, e))
}

// challenge offers Basic only to those who are no browser's page: a browser would
// ask its user for a password in a window of its own.
func challenge(r *http.Request) string {
	const bearer = `Bearer realm="orbitd"`
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return bearer
	}
	return bearer + `, Basic realm="orbitd", charset="UTF-8"`
}

func reply(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // a peer that has gone does not read it
}
