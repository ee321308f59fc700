package auth

import (
	"net/http"
	"strings"

	"github.com/orbitd/orbitd/pkg/message"
)

// FromRequest returns what a request brings to identify itself: its
// Authorization header, Bearer or Basic, or the token that tokenOf finds in its
// cookie. The error, Unauthorized, is for a header that is neither: it is not
// made up for by a cookie.
//
// A cookie counts only for a page whose origin was allowed, which the caller has
// checked where there is an Origin: so a foreign page's form gains nothing by
// it. Browsers leave Origin out where a page reads from its own server;
// Sec-Fetch-Site, which no script can set, tells that apart.
func FromRequest(r *http.Request, tokenOf func(*http.Request) string) (Credentials, error) {
	if token, ok := bearer(r); ok {
		return Credentials{Token: token}, nil
	}
	if user, password, ok := r.BasicAuth(); ok && user+password != "" {
		return Credentials{User: user, Password: password}, nil
	}
	if r.Header.Get("Authorization") != "" {
		return Credentials{}, message.Errorf(message.Unauthorized, "the Authorization header is neither Bearer nor Basic with a user")
	}
	if Vouched(r) {
		return Credentials{Token: tokenOf(r)}, nil
	}
	return Credentials{}, nil
}

// Vouched reports whether a browser vouches that a cookie comes from a page that may
// have it sent, if it has an Origin one that the caller has checked.
func Vouched(r *http.Request) bool {
	return r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") == "same-origin"
}

func bearer(r *http.Request) (token string, ok bool) {
	const scheme = "bearer "
	h := r.Header.Get("Authorization")
	if len(h) <= len(scheme) || !strings.EqualFold(h[:len(scheme)], scheme) {
		return "", false
	}
	return h[len(scheme):], true
}
