package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/message"
)

// maxForm bounds a login form.
const maxForm = 16 << 10

// login answers a user and password with a token. A browser also gets it as a
// cookie, which its scripts cannot read.
func (a *API) login(w http.ResponseWriter, r *http.Request) {
	id, err := a.identify(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	issuer := a.Issuer()
	if issuer == nil {
		a.fail(w, r, message.Errorf(message.Unavailable, `this server issues no tokens; configure [[auth]] type = "token" with a private key, or without one`))
		return
	}
	token, expires, err := issuer.Issue(id)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	if r.Header.Get("Origin") != "" {
		http.SetCookie(w, a.cookie(r, token, expires))
	}
	a.answerLogin(w, r, id, token, expires)
}

func (a *API) answerLogin(w http.ResponseWriter, r *http.Request, id *auth.Identity, token string, expires time.Time) {
	body, err := json.Marshal(struct {
		Token   string `json:"token"`
		User    string `json:"user"`
		Expires int64  `json:"expires"`
	}{token, id.User, expires.UnixMilli()})
	if err != nil {
		a.fail(w, r, err)
		return
	}
	reply(w, http.StatusOK, body)
}

// identify proves who logs in. A token is no way to get another: it would never
// end.
func (a *API) identify(w http.ResponseWriter, r *http.Request) (*auth.Identity, error) {
	user, password, ok := r.BasicAuth()
	if !ok {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			return nil, message.Errorf(message.BadRequest, "send Basic authentication, or a form with user and password").Because(err)
		}
		user, password = r.PostForm.Get("user"), r.PostForm.Get("password")
	}
	if user == "" || password == "" {
		return nil, message.Errorf(message.Unauthorized, "send a user and a password, by Basic authentication or as a form")
	}
	return a.Broker.Authenticate(r.Context(), auth.Credentials{User: user, Password: password, From: a.Gate.SourceOf(r).Client})
}

// logout takes the cookie away from a browser, whose scripts cannot. The gate has
// refused pages that may not call, so no foreign page logs anybody out.
func (a *API) logout(w http.ResponseWriter, r *http.Request) {
	gone := a.cookie(r, "", time.Unix(1, 0))
	gone.MaxAge = -1
	http.SetCookie(w, gone)
	w.WriteHeader(http.StatusNoContent)
}

// cookie is for https alone where the page came over it, also if a proxy in front
// of this server has taken the TLS off.
func (a *API) cookie(r *http.Request, token string, expires time.Time) *http.Cookie {
	secure := a.Gate.SourceOf(r).Secure || strings.HasPrefix(r.Header.Get("Origin"), "https://")
	return &http.Cookie{
		Name: a.Cookie, Value: token, Path: "/", Expires: expires,
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	}
}
