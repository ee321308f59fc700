package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

func readTLS(t *table) TLS {
	c := TLS{
		Pair:           t.pair(),
		ClientCA:       t.file("client_ca", "/etc/orbitd/tls/clients.pem"),
		ClientCRL:      t.file("client_crl", "/etc/orbitd/tls/clients.crl"),
		ClientRequired: t.choice("client_auth", "optional", "optional", "required") == "required",
		HSTS:           t.durationOrOff("hsts", 0, 2*365*day),
	}
	for _, also := range t.list("also") {
		also.label = "tls.also: "
		pair := also.pair()
		if pair.Certificate == "" {
			also.fail("certificate", "write { certificate = PATH, key = PATH }", "it is missing")
		}
		also.done()
		if pair.Certificate != "" && c.names(pair.Certificate) {
			also.noEffect("certificate", "remove it here", "%s is named above", pair.Certificate)
			continue
		}
		c.Also = append(c.Also, pair)
	}
	t.done()
	if len(c.Also) > 0 && c.Certificate == "" {
		t.fail("also", "write certificate and key as well: what is shown to who asks for no name", "there is no first certificate")
	}
	for _, key := range []string{"client_crl", "client_auth"} {
		if t.has(key) && c.ClientCA == "" {
			t.fail(key, "write client_ca = PATH as well, or remove this", "no client's certificate is believed")
		}
	}
	if c.ClientCA != "" && c.Certificate == "" {
		t.noEffect("client_ca", "write certificate and key as well", "there is no TLS without a certificate")
	}
	return c
}

// names reports whether a certificate's file is among those that were read.
func (c *TLS) names(certificate string) bool {
	return certificate == c.Certificate || slices.ContainsFunc(c.Also, func(p Pair) bool { return p.Certificate == certificate })
}

// pair reads the paths of a certificate and its key, and reports what is wrong with
// them.
func (t *table) pair() Pair {
	p := Pair{t.file("certificate", "/etc/orbitd/tls/fullchain.pem"), t.file("key", "/etc/orbitd/tls/key.pem")}
	switch {
	case p.Certificate != "" && p.Key == "":
		t.fail("certificate", "write key = PATH below it", "a certificate needs its key")
	case p.Certificate == "" && p.Key != "":
		t.fail("key", "write certificate = PATH above it", "a key needs its certificate")
	case p.Certificate != "":
		t.fits(p)
		t.private("key", p.Key)
	}
	return p
}

// fits reports what is wrong with a certificate and its key. That they can be read is
// known.
func (t *table) fits(p Pair) {
	pair, err := tls.LoadX509KeyPair(p.Certificate, p.Key)
	if err == nil {
		t.valid(pair.Leaf)
		return
	}
	if _, unreadable := errors.AsType[*fs.PathError](err); unreadable {
		return
	}
	switch why := strings.TrimPrefix(err.Error(), "tls: "); {
	case strings.Contains(why, "does not match"):
		t.fail("key", "name the key that the certificate was made with; after a renewal, both files are new", "it is not the key of %s", p.Certificate)
	case strings.Contains(why, "key input") || strings.Contains(why, "private key") && !strings.Contains(why, "certificate input"):
		t.fail("key", "name the certificate's key, in PEM form and without a passphrase", "%s: %s", p.Key, why)
	default:
		t.fail("certificate", "name a file in PEM form: the certificate, and behind it those that signed it", "%s: %s", p.Certificate, why)
	}
}

// valid warns of a certificate that is not, now. It is no mistake: a server with that one
// is better than none.
func (t *table) valid(leaf *x509.Certificate) {
	const hint = "renew it, or set this host's clock; a running daemon keeps a good one that it has had from this file"
	switch now := time.Now(); {
	case now.Before(leaf.NotBefore):
		t.warn("certificate", hint, "clients refuse it, as it is not valid before %s", leaf.NotBefore.Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		t.warn("certificate", hint, "clients refuse it, as it has ended at %s", leaf.NotAfter.Format(time.RFC3339))
	}
}

// durationOrOff reads a duration; "off" and nothing are 0.
func (t *table) durationOrOff(key string, least, most time.Duration) time.Duration {
	if v, ok := t.get(key); ok && v == "off" {
		return 0
	}
	return t.duration(key, 0, least, most)
}

// checkClients reports an authenticator that nobody could ever come by.
func (c *Config) checkClients(top *table) {
	for _, a := range c.Auth {
		if a.Type == CertificateAuth && c.TLS.ClientCA == "" {
			top.doc.fail(a.Line, fmt.Sprintf("auth %q: no client is asked for a certificate", a.Name), "write client_ca = PATH in [tls]: those whose clients are believed")
		}
	}
}
