package daemon_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/daemon"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A site is a daemon on a folder of its own.
type site struct {
	*daemon.Daemon
	t      *testing.T
	folder string
	log    strings.Builder // complete once the daemon has stopped
}

const server = `
[server]
http    = "127.0.0.1:0"
ops     = "127.0.0.1:0"
control = ""
origins = ["https://good.example"]
`

const small = `
[engine]
path         = "engine"
segment_size = "1MiB"
min_free     = "1MiB"
`

const open = `
[[channel]]
match     = "/open/**"
subscribe = ["*"]
publish   = ["*"]
`

func newSite(t *testing.T, text string) *site {
	t.Helper()
	s := &site{t: t, folder: t.TempDir()}
	s.write("orbitd.toml", text)
	must(t, s.start(nil))
	t.Cleanup(func() { must(t, s.Stop(t.Context())) })
	return s
}

func (s *site) start(listeners map[string][]net.Listener) (err error) {
	log := logrus.New()
	log.SetOutput(&s.log)
	s.Daemon, err = daemon.Start(daemon.Options{
		Load:      func() (*config.Config, error) { return config.Load(filepath.Join(s.folder, "orbitd.toml")) },
		Listeners: listeners, Logger: log, Version: "test",
	})
	return err
}

// Stop stops the daemon, also where the test's own context has ended.
func (s *site) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return s.Daemon.Stop(ctx)
}

func (s *site) write(name, text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(filepath.Join(s.folder, name), []byte(text), 0o600))
}

func (s *site) address(name string) string { return s.Addrs(name)[0].String() }

// do sends one request, and follows no redirect.
func (s *site) do(method, door, path, body string, header ...string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, "http://"+s.address(door)+path, strings.NewReader(body))
	must(s.t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(r)
	must(s.t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	must(s.t, err)
	return answer, string(text)
}

func (s *site) publish(channel string, status int) string {
	s.t.Helper()
	answer, body := s.do("POST", "http", "/v1/publish"+channel, "1")
	if answer.StatusCode != status {
		s.t.Errorf("publish to %s: %d %s, want %d", channel, answer.StatusCode, body, status)
	}
	return body
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *site) text(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.folder, name))
	must(s.t, err)
	return string(text)
}
