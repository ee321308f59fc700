package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"time"
)

// HS256 is the algorithm whose key is a secret.
const HS256 = "HS256"

// Token says which tokens are believed.
type Token struct {
	// Key is what they are signed with, or its public half. With neither a key nor a
	// set the daemon makes a key of its own in the state directory.
	Key Secret
	// Algorithm is that of the signatures; empty: by the key. With HS256, Key is a
	// secret that the issuer shares.
	Algorithm string
	Set       Secret // a file with a key set
	SetURL    string // where the issuer publishes its key set
	Refresh   time.Duration
	CA        string // path of PEM certificates, for SetURL; empty: the system's

	Issuer   string // empty: whoever has signed them
	Audience string
	Leeway   time.Duration // how far clocks may differ
	User     string        // the claim with the user's name; empty: sub
	Groups   string        // the one with the groups; empty: groups
	Scope    string        // the one with the channels; empty: channels
	TTL      time.Duration // of tokens that a login issues
	LoginTTL time.Duration // for how long they can be renewed
}

// Own reports whether the daemon makes the key itself.
func (t Token) Own() bool { return t.Key.IsZero() && t.Set.IsZero() && t.SetURL == "" }

func readToken(t *table) Token {
	c := Token{
		Key:       t.secret("key"),
		Algorithm: t.algorithm(),
		Refresh:   t.duration("jwks_refresh", time.Hour, 10*time.Second, 7*day),
		CA:        t.file("jwks_ca", "/etc/ssl/certs/ca.pem"),
		Issuer:    t.text("issuer", "", "https://id.example.org"),
		Audience:  t.text("audience", "orbitd", "orbitd"),
		Leeway:    t.duration("leeway", time.Minute, 0, 10*time.Minute),
		User:      t.text("user_claim", "", "sub"),
		Groups:    t.text("groups_claim", "", "groups"),
		Scope:     t.text("channels_claim", "", "channels"),
		TTL:       t.duration("ttl", time.Hour, time.Minute, 30*day),
		LoginTTL:  t.duration("login_ttl", 30*day, time.Minute, 365*day),
	}
	t.keySet(&c)
	t.whoseTokens(c)
	if c.Audience == "" {
		t.fail("audience", `write audience = "orbitd", or what the issuer calls this server`, "tokens for anybody are tokens for somebody else, too")
	}
	return c
}

// algorithm reads the one of a token's signature; "" is by the key.
func (t *table) algorithm() string {
	if _, ok := t.get("algorithm"); !ok {
		return ""
	}
	return t.choice("algorithm", "", HS256, "RS256", "ES256", "EdDSA")
}

// keySet reads where a key set is.
func (t *table) keySet(c *Token) {
	const example = "https://id.example.org/keys"
	text := t.text("jwks", "", example)
	u, err := url.Parse(text)
	switch {
	case err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil:
		c.SetURL = text
	case text != "":
		c.Set = t.reference("jwks", text)
	}
	switch {
	case c.SetURL == "":
		for _, key := range []string{"jwks_refresh", "jwks_ca"} {
			if t.has(key) {
				t.fail(key, fmt.Sprintf("write jwks = %q, or remove this", example), "there is no jwks that is a URL")
			}
		}
	case u.Scheme == "http" && !local(u.Hostname()):
		t.fail("jwks", "write an https:// URL", "on the way to %s anybody could put keys of their own in", u.Host)
	case c.Issuer == "":
		t.fail("jwks", fmt.Sprintf("write also issuer = %q, as its tokens name it", u.Scheme+"://"+u.Host), "there is no issuer: its keys are good for its own tokens alone")
	}
}

// local reports whether a host is this one.
func local(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// whoseTokens checks that what is said about the tokens of others stands beside
// their keys.
func (t *table) whoseTokens(c Token) {
	foreign := t.has("jwks")
	if foreign && t.has("key") {
		t.fail("jwks", "remove one of them, or make it an [[auth]] of its own, with a name", "there is a key as well")
	}
	for _, key := range []string{"ttl", "login_ttl"} {
		if foreign && t.has(key) {
			t.fail(key, "remove it: their issuer says how long they are good", "no tokens of this kind are issued here")
		}
	}
	if c.LoginTTL < c.TTL && !foreign && t.has("login_ttl") {
		t.fail("login_ttl", fmt.Sprintf("write at least %q, or a shorter ttl", formatDuration(c.TTL)), "a login cannot end before its first token")
	}
	if foreign || t.has("key") {
		return
	}
	for _, key := range []string{"algorithm", "issuer", "leeway", "user_claim", "groups_claim", "channels_claim"} {
		if t.has(key) {
			t.fail(key, `write also key = "file:PATH" or jwks = "https://…", or remove this`, "it is for tokens of another issuer, and there is no key of one")
		}
	}
}
