package auth

import (
	"crypto/x509"
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
		if token := tokenOf(r); token != "" {
			return Credentials{Token: token}, nil
		}
	}
	return Credentials{Certificates: certificates(r)}, nil
}

// certificates returns those of the request's connection. A browser shows its own to
// whatever page asks, as it does with a cookie, so it counts as that does; who is no
// browser says nothing of a page, and means it.
func certificates(r *http.Request) []*x509.Certificate {
	browser := r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != ""
	if r.TLS == nil || browser && !Vouched(r) {
		return nil
	}
	return r.TLS.PeerCertificates
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
