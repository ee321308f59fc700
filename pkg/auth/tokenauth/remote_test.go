package tokenauth_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/tokenauth"
)

// fetchPause is the least time between two readings of a set.
const fetchPause = 10 * time.Second

// A publisher is an issuer's server, as far as it gives its keys away: without a
// network, so that its time can be the test's.
type publisher struct {
	mu     sync.Mutex
	answer http.HandlerFunc
	asked  int
}

func (p *publisher) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.asked++
	answer := p.answer
	p.mu.Unlock()
	if answer == nil {
		return nil, errors.New("no route to host")
	}
	w := httptest.NewRecorder()
	answer(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

func (p *publisher) give(answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func (p *publisher) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func text(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
}

// remote returns an authenticator of what a publisher gives, and how to end it.
func remote(t *testing.T, p *publisher) (*tokenauth.Authenticator, *strings.Builder, func()) {
	t.Helper()
	var said strings.Builder
	log := logrus.New()
	log.SetOutput(&said)
	r, err := tokenauth.NewRemote(tokenauth.RemoteOptions{URL: "https://id.example.org/keys", Logger: log, Transport: p, Refresh: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return believing(t, tokenauth.Options{Keys: r}), &said, r.Close
}

func TestKeysAreReadBeforeTheFirstToken(t *testing.T) {
	i := newIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{answer: func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			text(set(t, i.jwk("RS256", "one")))(w, r)
		}}
		a, _, end := remote(t, p)
		defer end()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := a.Authenticate(t.Context(), auth.Credentials{Token: i.token("RS256", "one", i.claims())}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if p.count() != 1 {
			t.Errorf("asked %d times", p.count())
		}
	})
}

// TestKeysAreReplaced: a new key works at once, a withdrawn one no longer than a
// refresh.
func TestKeysAreReplaced(t *testing.T) {
	before, after := newIssuer(t), newIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{answer: text(set(t, before.jwk("ES256", "old")))}
		a, _, end := remote(t, p)
		defer end()
		old := auth.Credentials{Token: before.token("ES256", "old", before.claims())}
		renewed := auth.Credentials{Token: after.token("ES256", "new", after.claims())}
		check := func(when string, c auth.Credentials, want error) {
			t.Helper()
			if _, err := a.Authenticate(t.Context(), c); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", when, err, want)
			}
		}
		check("at first", old, nil)
		time.Sleep(time.Minute)
		p.give(text(set(t, after.jwk("ES256", "new"))))
		check("the old key before anybody has asked", old, nil)
		check("the new key", renewed, nil)
		time.Sleep(fetchPause) // in which the set is not read again
		check("the old key, withdrawn", old, auth.ErrPass)
	})
}

// TestProofsEndWithTheirKeys: what a key has signed is believed for as long as the key is
// in the set, by whatever id; when one has gone that is told.
func TestProofsEndWithTheirKeys(t *testing.T) {
	before, after := newIssuer(t), newIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{}
		a, _, end := remote(t, p)
		defer end()
		synctest.Wait()
		err := a.Believes(t.Context(), "x")
		if err == nil || errors.Is(err, auth.ErrDenied) {
			t.Errorf("before the set was ever read: %v", err)
		}
		publish := func(keys ...map[string]any) {
			p.give(text(set(t, keys...)))
			time.Sleep(time.Hour)
		}
		publish(before.jwk("RS256", "other"), before.jwk("ES256", "one"), after.jwk("ES256", "two"))
		proof := func(i *issuer) string {
			id, err := a.Authenticate(t.Context(), auth.Credentials{Token: i.token("ES256", "", i.claims())})
			if err != nil {
				t.Fatal(err)
			}
			return id.Proof
		}
		old, stays := proof(before), proof(after)
		believed := func(what, proof string, gone bool, want error) {
			t.Helper()
			synctest.Wait()
			if err := a.Believes(t.Context(), proof); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
			select {
			case <-a.Changed():
				if !gone {
					t.Errorf("%s: a key has gone", what)
				}
			default:
				if gone {
					t.Errorf("%s: nobody is told that a key has gone", what)
				}
			}
		}
		believed("at first", old, false, nil)
		publish(after.jwk("ES256", "two"), before.jwk("ES256", "renamed"), before.jwk("RS256", "other"))
		believed("by another id", old, false, nil)
		p.give(nil)
		time.Sleep(time.Hour)
		believed("while the issuer is down", old, false, nil)
		publish(after.jwk("ES256", "two"))
		believed("of a key that has gone", old, true, auth.ErrDenied)
		believed("of a key that stays", stays, false, nil)
	})
}

// TestUnknownKeys: whoever makes up key ids has the issuer asked every ten seconds
// at most, and is told no more than that it could not be found out.
func TestUnknownKeys(t *testing.T) {
	i, stranger := newIssuer(t), newIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{answer: text(set(t, i.jwk("EdDSA", "one")))}
		a, _, end := remote(t, p)
		defer end()
		synctest.Wait()
		time.Sleep(time.Minute)
		unknown := auth.Credentials{Token: stranger.token("EdDSA", "made-up", i.claims())}
		if _, err := a.Authenticate(t.Context(), unknown); !errors.Is(err, auth.ErrPass) {
			t.Errorf("after the set was read again: %v", err)
		}
		for range 1000 {
			if _, err := a.Authenticate(t.Context(), unknown); err == nil || errors.Is(err, auth.ErrPass) || errors.Is(err, auth.ErrDenied) {
				t.Fatalf("without asking: %v", err)
			}
			time.Sleep(time.Millisecond)
		}
		if p.count() != 2 {
			t.Errorf("asked %d times", p.count())
		}
		elsewhere := with(i.claims(), "iss", "https://evil.example")
		time.Sleep(time.Minute)
		if _, err := a.Authenticate(t.Context(), auth.Credentials{Token: stranger.token("EdDSA", "x", elsewhere)}); !errors.Is(err, auth.ErrPass) {
			t.Error(err)
		}
		if p.count() != 2 {
			t.Error("a token of another issuer had the keys read")
		}
	})
}

// TestIssuerIsDown: what was known stays known, what was not cannot be found out,
// and the issuer is not asked all the time.
func TestIssuerIsDown(t *testing.T) {
	i := newIssuer(t)
	for name, broken := range map[string]http.HandlerFunc{
		"down":  nil,
		"error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"moved": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/keys", http.StatusFound)
		},
		"no set":     text([]byte("<html>")),
		"no keys":    text([]byte("{}")),
		"nothing":    text(nil),
		"great":      text(make([]byte, 1<<20)),
		"never done": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &publisher{answer: broken}
				a, said, end := remote(t, p)
				defer end()
				good := auth.Credentials{Token: i.token("RS256", "one", i.claims())}
				if _, err := a.Authenticate(t.Context(), good); err == nil || errors.Is(err, auth.ErrPass) || errors.Is(err, auth.ErrDenied) {
					t.Errorf("at first: %v", err)
				}
				time.Sleep(24 * time.Hour)
				if n := p.count(); n < 100 || n > 300 { // every five minutes, after a quicker start
					t.Errorf("asked %d times in a day", n)
				}
				p.give(text(set(t, i.jwk("RS256", "one"))))
				time.Sleep(6 * time.Minute)
				p.give(broken)
				time.Sleep(24 * time.Hour)
				if _, err := a.Authenticate(t.Context(), good); err != nil {
					t.Errorf("a key that was known: %v", err)
				}
				if _, err := a.Authenticate(t.Context(), auth.Credentials{Token: i.token("RS256", "two", i.claims())}); err == nil || errors.Is(err, auth.ErrPass) {
					t.Errorf("one that was not: %v", err)
				}
				if all := said.String(); strings.Count(all, "cannot be read") != 2 || strings.Count(all, "until it can be, nobody is let in by its tokens") != 1 || strings.Count(all, "the keys known before stay") != 1 {
					t.Errorf("told:\n%s", all)
				}
			})
		})
	}
}

// TestAllKeysWithdrawn: an issuer that has no key any more has no token either.
func TestAllKeysWithdrawn(t *testing.T) {
	i := newIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{answer: text(set(t, i.jwk("EdDSA", "one")))}
		a, _, end := remote(t, p)
		defer end()
		good := auth.Credentials{Token: i.token("EdDSA", "one", i.claims())}
		if _, err := a.Authenticate(t.Context(), good); err != nil {
			t.Fatal(err)
		}
		p.give(text(set(t)))
		time.Sleep(time.Hour + time.Minute)
		if _, err := a.Authenticate(t.Context(), good); !errors.Is(err, auth.ErrPass) {
			t.Error(err)
		}
	})
}

// TestNobodyWaitsForAClosedSet: who waits when a reload replaces the set is told.
func TestNobodyWaitsForAClosedSet(t *testing.T) {
	i := newIssuer(t)
	synctest.Test(t, func(t *testing.T) {
		p := &publisher{answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
		a, _, end := remote(t, p)
		told := make(chan error)
		ask := func() {
			_, err := a.Authenticate(context.Background(), auth.Credentials{Token: i.token("EdDSA", "one", i.claims())})
			told <- err
		}
		go ask()
		synctest.Wait()
		end()
		if err := <-told; err == nil || errors.Is(err, auth.ErrPass) {
			t.Error(err)
		}
		go ask()
		if err := <-told; err == nil || errors.Is(err, auth.ErrPass) {
			t.Error(err)
		}
	})
}

// TestRemoteOverTLS asks a real server, which must prove itself.
func TestRemoteOverTLS(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	server := httptest.NewTLSServer(text(set(t, i.jwk("ES256", "one"))))
	defer server.Close()
	server.Config.ErrorLog = nil
	log := logrus.New()
	log.SetOutput(io.Discard)
	trusted := x509.NewCertPool()
	trusted.AddCert(server.Certificate())
	for roots, good := range map[*x509.CertPool]bool{trusted: true, x509.NewCertPool(): false} {
		r, err := tokenauth.NewRemote(tokenauth.RemoteOptions{URL: server.URL, Roots: roots, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		keys, err := r.Find(t.Context(), "one")
		if (len(keys) == 1) != good || (err == nil) != good {
			t.Errorf("trusted: %t; %d keys, %v", good, len(keys), err)
		}
		r.Close()
	}
}
