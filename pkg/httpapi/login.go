package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
	"github.com/orbitd/orbitd/pkg/message"
)

// maxForm bounds a login form.
const maxForm = 16 << 10

// login answers a user and password with tokens. A browser also gets them as
// cookies, which its scripts cannot read.
func (a *API) login(w http.ResponseWriter, r *http.Request) {
	id, err := a.identify(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	issuer, err := a.issuer()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	tokens, err := issuer.Login(id)
	if err != nil {
		a.fail(w, r, tooMany(err))
		return
	}
	a.handOver(w, r, id, tokens, false)
}

// tooMany tells a user who has too many logins so, and leaves any other error as it is.
func tooMany(err error) error {
	if !errors.Is(err, tokenauth.ErrTooMany) {
		return err
	}
	return message.Errorf(message.TooLarge, "this user has so many logins that were renewed or ended and are not over (login_ttl) that there is no room for more; log in less often, or go on with the tokens of one login").Because(err)
}

func (a *API) issuer() (Issuer, error) {
	if issuer := a.Issuer(); issuer != nil {
		return issuer, nil
	}
	return nil, message.Errorf(message.Unavailable, `this server issues no tokens; configure [[auth]] type = "token" with a private key, or without one`)
}

// handOver answers with the tokens. The cookie is there for as long as the login, also
// when its token has ended: so that a page is told to renew it, and is not suddenly
// anonymous. A page of the server's own does not see what renews: that is worth more
// to a thief than a token.
//
// Nor does a page of another origin see anything that the browser alone has brought, in
// a cookie: it may use its own applications by that, and with a token in hand, brought from
// elsewhere, it could use those of others.
func (a *API) handOver(w http.ResponseWriter, r *http.Request, id *auth.Identity, t tokenauth.Tokens, byCookie bool) {
	if r.Header.Get("Origin") != "" {
		a.setCookies(w, r, t)
		switch own := a.Gate.PageOf(r) == ""; {
		case own:
			t.Renewal = ""
		case byCookie:
			t.Token, t.Renewal = "", ""
		}
	}
	body, err := json.Marshal(struct {
		Token   string `json:"token,omitempty"`
		User    string `json:"user"`
		Expires int64  `json:"expires"`
		Refresh string `json:"refresh,omitempty"`
		Ends    int64  `json:"ends"`
	}{t.Token, id.User, t.Expires.UnixMilli(), t.Renewal, t.Ends.UnixMilli()})
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
		if err := readForm(w, r, "user and password"); err != nil {
			return nil, err
		}
		user, password = r.PostForm.Get("user"), r.PostForm.Get("password")
	}
	if user == "" || password == "" {
		return nil, message.Errorf(message.Unauthorized, "send a user and a password, by Basic authentication or as a form")
	}
	return a.Broker.Authenticate(r.Context(), auth.Credentials{User: user, Password: password, From: a.Gate.SourceOf(r).Client})
}

func readForm(w http.ResponseWriter, r *http.Request, with string) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	err := r.ParseForm()
	if e, ok := errors.AsType[*message.Error](err); ok {
		return e // the server's own, see httpserver
	}
	if err != nil {
		return message.Errorf(message.BadRequest, "send a form with %s", with).Because(err)
	}
	return nil
}

// refresh answers a token that renews with the next ones. The user is looked up again.
func (a *API) refresh(w http.ResponseWriter, r *http.Request) {
	token, byCookie, err := a.renewalOf(w, r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	id, tokens, err := a.renew(r, token)
	if err == nil {
		a.handOver(w, r, id, tokens, byCookie)
		return
	}
	if message.CodeOf(err) == message.Unauthorized {
		a.dropCookies(w, r) // of no use any more; without them the page is anonymous
	}
	a.fail(w, r, err)
}

func (a *API) renew(r *http.Request, token string) (*auth.Identity, tokenauth.Tokens, error) {
	var none tokenauth.Tokens
	if token == "" {
		return nil, none, message.Errorf(message.Unauthorized, "send a form with refresh, from the answer to a login, or its cookie")
	}
	issuer, err := a.issuer()
	if err != nil {
		return nil, none, err
	}
	id, err := a.Broker.Authenticate(r.Context(), auth.Credentials{Token: token, Renewing: true})
	if err != nil {
		return nil, none, err
	}
	tokens, err := issuer.Renew(r.Context(), id, token)
	switch {
	case errors.Is(err, tokenauth.ErrReused):
		a.Logger.WithField("user", id.User).WithField("client", a.Gate.SourceOf(r).Client).
			Warn("a token that renews a login came a second time: somebody may have stolen it; the login was ended")
		err = errors.Join(err, a.ended(r, id.Login))
		fallthrough
	case errors.Is(err, auth.ErrDenied):
		return nil, none, message.Errorf(message.Unauthorized, "the login has ended; log in again").Because(err)
	case errors.Is(err, tokenauth.ErrTooMany):
		return nil, none, tooMany(err)
	case err != nil:
		a.Logger.WithError(err).Error("a login could not be renewed")
		return nil, none, message.Errorf(message.Unavailable, "logins cannot be renewed at the moment; try again later").Because(err)
	}
	return id, tokens, nil
}

// renewalOf returns the token that renews: of the form, or of the cookie where the
// browser vouches for the page.
func (a *API) renewalOf(w http.ResponseWriter, r *http.Request) (token string, byCookie bool, err error) {
	if err := readForm(w, r, "refresh"); err != nil {
		return "", false, err
	}
	if token := r.PostForm.Get("refresh"); token != "" || !auth.Vouched(r) {
		return token, false, nil
	}
	c, err := r.Cookie(a.renewalCookie())
	if err != nil {
		return "", false, nil
	}
	return c.Value, true, nil
}

// logout ends the login of each token that the request has, and of everybody who came
// by one of it. It takes the cookies away from a browser, whose scripts cannot. The
// gate has refused pages that may not call, so no foreign page logs anybody out.
func (a *API) logout(w http.ResponseWriter, r *http.Request) {
	if err := a.endAll(w, r); err != nil {
		a.fail(w, r, err)
		return
	}
	a.dropCookies(w, r)
	w.WriteHeader(http.StatusNoContent)
}

// endAll ends the logins. A token in the header that is no good is refused; one in a
// cookie is taken away in any case.
func (a *API) endAll(w http.ResponseWriter, r *http.Request) error {
	c, err := auth.FromRequest(r, a.TokenOf)
	if err != nil {
		return err
	}
	renewal, _, err := a.renewalOf(w, r)
	if err != nil {
		return err
	}
	issuer := a.Issuer()
	if issuer == nil {
		return nil
	}
	for _, token := range []string{c.Token, renewal} {
		if token == "" {
			continue
		}
		login, err := issuer.LoginOf(r.Context(), token)
		switch {
		case err == nil:
			err = a.endLogin(r, issuer, login)
		case r.Header.Get("Authorization") == "":
			err = nil
		default:
			err = message.Errorf(message.Unauthorized, "the token is of no login here that goes on; one of another issuer is ended there").Because(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *API) endLogin(r *http.Request, issuer Issuer, login *auth.Login) error {
	if err := issuer.End(*login); err != nil {
		a.Logger.WithError(err).Error("a login could not be ended")
		return message.Errorf(message.Unavailable, "logins cannot be ended at the moment; try again later").Because(err)
	}
	return a.ended(r, login)
}

// ended sees to the clients of a login that was ended.
func (a *API) ended(r *http.Request, login *auth.Login) error {
	if a.Ended == nil {
		return nil
	}
	return a.Ended(r.Context(), login.ID)
}

func (a *API) renewalCookie() string { return a.Cookie + "_refresh" }

func (a *API) setCookies(w http.ResponseWriter, r *http.Request, t tokenauth.Tokens) {
	http.SetCookie(w, a.cookie(r, a.Cookie, "/", t.Token, t.Ends))
	if t.Renewal != "" {
		http.SetCookie(w, a.cookie(r, a.renewalCookie(), renewalCookiePath, t.Renewal, t.Ends))
	}
}

func (a *API) dropCookies(w http.ResponseWriter, r *http.Request) {
	for name, path := range map[string]string{a.Cookie: "/", a.renewalCookie(): renewalCookiePath} {
		gone := a.cookie(r, name, path, "", time.Unix(1, 0))
		gone.MaxAge = -1
		http.SetCookie(w, gone)
	}
}

// renewalCookiePath is where the cookie that renews goes: the calls, and no page.
const renewalCookiePath = "/v1/"

// cookie is for https alone where the page came over it, also if a proxy in front
// of this server has taken the TLS off.
func (a *API) cookie(r *http.Request, name, path, value string, expires time.Time) *http.Cookie {
	secure := a.Gate.SourceOf(r).Secure || strings.HasPrefix(r.Header.Get("Origin"), "https://")
	return &http.Cookie{
		Name: name, Value: value, Path: path, Expires: expires,
		HttpOnly: true, Secure: secure, SameSite: http.SameSiteStrictMode,
	}
}
