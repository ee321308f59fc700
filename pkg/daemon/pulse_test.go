package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/engine"
)

// A told manager notes what it is told.
type told struct {
	mu   sync.Mutex
	said []string
	more chan struct{} // has something when there is more
}

func (m *told) note(text string) error {
	m.mu.Lock()
	m.said = append(m.said, text)
	m.mu.Unlock()
	select {
	case m.more <- struct{}{}:
	default:
	}
	return nil
}

func (m *told) Ready() error          { return m.note("ready") }
func (m *told) Reloading() error      { return m.note("reloading") }
func (m *told) Stopping() error       { return m.note("stopping") }
func (m *told) Alive() error          { return m.note("alive") }
func (m *told) Status(s string) error { return m.note(s) }

// until waits for what is wanted, and returns all that was said so far and forgets
// it.
func (m *told) until(want string) (said string) {
	for ; ; <-m.more {
		m.mu.Lock()
		said = strings.Join(m.said, "\n")
		if strings.Contains(said, want) {
			m.said = nil
			m.mu.Unlock()
			return said
		}
		m.mu.Unlock()
	}
}

// managed starts a daemon with a manager and returns a way to write its
// configuration.
func managed(t *testing.T, watchdog time.Duration) (*Daemon, *told, func(string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "orbitd.toml")
	write := func(more string) {
		const text = "[server]\nhttp = \"127.0.0.1:0\"\nops = \"\"\ncontrol = \"\"\n[engine]\npath = \"engine\"\nsegment_size = \"1MiB\"\nmin_free = \"1MiB\"\n"
		if err := os.WriteFile(file, []byte(text+more), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	log := logrus.New()
	log.SetOutput(t.Output())
	m := &told{more: make(chan struct{}, 1)}
	d, err := Start(Options{
		Load:   func() (*config.Config, error) { return config.Load(file) },
		Logger: log, Version: "test", Manager: m, Watchdog: watchdog,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return d, m, write
}

func TestManagerIsTold(t *testing.T) {
	t.Parallel()
	d, m, write := managed(t, 0)
	m.until("0 clients, 0 apps, 0 lagging")
	write("[[channel]]\nmatch = \"/chat/**\"\n[app.shop]\nauth = []\n[[channel]]\nmatch = \"/chat/x\"\n")
	if v := d.Apply(t.Context()); v.InForce || len(v.Problems) == 0 {
		t.Fatalf("%+v", v)
	}
	said := m.until("ready")
	if !strings.HasPrefix(said, "reloading\nreload refused: ") || !strings.HasSuffix(said, "; 0 clients, 0 apps, 0 lagging\nready") {
		t.Errorf("said\n%s", said)
	}
	shop := filepath.Join(filepath.Dir(d.Config().File), "apps.d", "shop.toml")
	if err := errors.Join(os.Mkdir(filepath.Dir(shop), 0o700), os.WriteFile(shop, []byte("\nopen = true\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	write("")
	if v := d.Apply(t.Context()); !v.InForce {
		t.Fatalf("%+v", v)
	}
	if said, want := m.until("ready"), "1 app disabled: "+shop+":2: open: "; !strings.Contains(said, want) {
		t.Errorf("said\n%s\nwithout\n%s", said, want)
	}
	if err := os.Remove(shop); err != nil {
		t.Fatal(err)
	}
	write("[[channel]]\nmatch = \"/chat/**\"\n[[channel]]\nmatch = \"/{user}/x\"\nsubscribe = [\"self\"]\n[[auth]]\ntype = \"token\"\n")
	if v := d.Apply(t.Context()); !v.OK() {
		t.Fatalf("%+v", v)
	}
	if said, want := m.until("ready"), "reloading\n0 clients, 1 app, 0 lagging\nready"; said != want {
		t.Errorf("said\n%s\nwant\n%s", said, want)
	}
	if err := d.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.until("stopping")
	if v := d.Apply(t.Context()); v.InForce || !strings.Contains(v.Error, "stopping") {
		t.Errorf("%+v", v)
	}
}

// TestWatchdog: it is fed for as long as all parts turn, and not beside a loop, or a
// log's writer, that hangs.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	d, m, _ := managed(t, 30*time.Millisecond)
	m.until("alive")
	m.until("alive")
	release := make(chan struct{})
	d.reactor.Loops()[0].Post(func() { <-release })
	if err := d.alive(t.Context(), time.Millisecond); err == nil || !strings.Contains(err.Error(), "loop 0: ") {
		t.Errorf("a loop hangs: %v", err)
	}
	close(release)
	m.until("alive")
}

// A hanging engine's writer gives no sign of life.
type hanging struct{ engine.Engine }

func (hanging) Probe(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func TestWriterHangs(t *testing.T) {
	d := &Daemon{engine: hanging{}}
	if err := d.alive(t.Context(), time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "writer") {
		t.Errorf("%v", err)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 10412: "10,412", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
