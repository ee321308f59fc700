package tlsconf_test

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/tlsconf"
	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
)

// A journal is a log that is read while it is written.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// watched starts a server whose files are watched, and returns how to end that. By
// the clock of a bubble certificates that are made in it would not be valid at now.
func watched(t *testing.T, certificate, key string, now func() time.Time) (*tlsconf.Server, *journal, func()) {
	t.Helper()
	i, err := tlsconf.Load(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	s := tlsconf.NewServer(set(i), nil)
	var said journal
	log := logrus.New()
	log.SetOutput(&said)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Watch(ctx, tlsconf.WatchOptions{Logger: log, Now: now})
	}()
	return s, &said, func() { cancel(); <-done }
}

// served returns the last name of the certificate that clients are shown.
func served(t *testing.T, s *tlsconf.Server) string {
	t.Helper()
	c, err := s.Config("http/1.1").GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return c.Leaf.DNSNames[len(c.Leaf.DNSNames)-1]
}

// TestRenewalWithoutReload: what is new in the files is used by itself, and what is
// no good there, in whatever state it is met, is not.
func TestRenewalWithoutReload(t *testing.T) {
	real := time.Now()
	a := tlstest.NewAuthority()
	folder := t.TempDir()
	live := filepath.Join(folder, "live")
	lineage := func(name string, c tls.Certificate) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(folder, name), 0o700); err != nil {
			t.Fatal(err)
		}
		tlstest.Write(t, filepath.Join(folder, name), c)
	}
	lineage("first", a.Certificate("first.example"))
	lineage("second", a.Certificate("second.example"))
	lineage("ended", a.CertificateUntil(real.Add(-time.Minute), "ended.example"))
	link := func(name string) {
		t.Helper()
		next := live + ".next"
		if err := os.Symlink(name, next); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, live); err != nil {
			t.Fatal(err)
		}
	}
	other, third := a.Certificate("x.example"), a.Certificate("third.example")
	link("first")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(live, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s, said, end := watched(t, filepath.Join(live, "cert.pem"), filepath.Join(live, "key.pem"), func() time.Time { return real })
		defer end()
		failures := 0
		for _, step := range []struct {
			name   string
			change func()
			want   string
			told   int
		}{
			{"nothing", func() {}, "first.example", 0},
			{"replaced", func() { link("second") }, "second.example", 0},
			{"one that has ended", func() { link("ended") }, "second.example", 1},
			{"back", func() { link("second") }, "second.example", 0},
			{"half written", func() { write("cert.pem", "-----BEGIN CERT") }, "second.example", 1},
			{"key of another", func() { tlstest.Write(t, live, other); write("key.pem", "") }, "second.example", 1},
			{"gone", func() {
				if err := os.Remove(filepath.Join(live, "key.pem")); err != nil {
					t.Fatal(err)
				}
			}, "second.example", 1},
			{"whole", func() { tlstest.Write(t, live, third) }, "third.example", 0},
		} {
			step.change()
			time.Sleep(10 * tlsconf.WatchEvery)
			synctest.Wait()
			if got := served(t, s); got != step.want {
				t.Errorf("%s: the certificate is for %s, want %s", step.name, got, step.want)
			}
			failures += step.told
			if n := strings.Count(said.String(), "are no good"); n != failures {
				t.Errorf("%s: told %d times, want %d:\n%s", step.name, n, failures, said)
			}
		}
	})
}

// TestWarnsAhead: the nearer the end, the more often.
func TestWarnsAhead(t *testing.T) {
	real := time.Now()
	end := real.Add(400 * time.Hour) // of a life of 1,000
	certificate, key := tlstest.Write(t, t.TempDir(), tlstest.NewAuthority().CertificateUntil(end))
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, said, stop := watched(t, certificate, key, func() time.Time { return real.Add(time.Since(start)) })
		defer stop()
		for _, step := range []struct {
			left time.Duration
			want int
		}{{260, 0}, {240, 1}, {130, 1}, {120, 2}, {50, 3}, {20, 4}, {1, 4}, {-1, 5}, {-100, 5}} {
			time.Sleep(time.Until(start.Add(400*time.Hour - step.left*time.Hour)))
			synctest.Wait()
			if n := strings.Count(said.String(), "ends soon"); n != step.want {
				t.Errorf("%d hours before the end: told %d times, want %d", step.left, n, step.want)
			}
		}
	})
}
