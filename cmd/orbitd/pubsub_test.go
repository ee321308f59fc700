package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/auth/fileauth"
	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/daemon"
	"github.com/orbitd/orbitd/tests/loopback"
)

const testConfig = `
[server]
http    = "%s"
ops     = ""
control = ""

[engine]
path         = "engine"
segment_size = "1MiB"
min_free     = "1MiB"

[[auth]]
type = "file"
path = "users"

[[auth]]
type = "token"

[[channel]]
match     = "/open/**"
subscribe = ["*"]
publish   = ["*"]

[[channel]]
match     = "/members/**"
subscribe = ["@authenticated"]
publish   = ["@authenticated"]
`

// A site is a daemon on a folder and an address, which may be stopped and
// started again.
type site struct {
	t       *testing.T
	folder  string
	address string
	daemon  *daemon.Daemon
}

func newSite(t *testing.T) *site {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) }) // the last one to run
	address, err := loopback.Free()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, folder: t.TempDir(), address: address}
	if err := os.WriteFile(s.file("orbitd.toml"), fmt.Appendf(nil, testConfig, s.address), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := fileauth.SetPassword(s.file("users"), "alice", "secret", nil); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ORBITD_URL", "http://"+s.address)
	t.Setenv("ORBITD_TOKEN", "")
	t.Setenv("ORBITD_PASSWORD", "secret")
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *site) file(name string) string { return filepath.Join(s.folder, name) }

func (s *site) start() {
	s.t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	d, err := daemon.Start(daemon.Options{
		Load:   func() (*config.Config, error) { return config.Load(s.file("orbitd.toml")) },
		Logger: log, Version: "test",
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.daemon = d
}

func (s *site) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.daemon.Stop(ctx); err != nil {
		s.t.Error(err)
	}
}

// orbitd runs one command line to its end.
func orbitd(t *testing.T, in string, args ...string) (out string, err error) {
	t.Helper()
	var b bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(strings.NewReader(in))
	root.SetOut(&b)
	root.SetErr(t.Output())
	err = root.ExecuteContext(t.Context())
	return b.String(), err
}

func must(t *testing.T, in string, args ...string) string {
	t.Helper()
	out, err := orbitd(t, in, args...)
	if err != nil {
		t.Fatalf("orbitd %q: %v", args, err)
	}
	return out
}

// A printed is a line of "orbitd sub".
type printed struct {
	Channel string `json:"ch"`
	Offset  int    `json:"o"`
	Data    any    `json:"d"`
	Epoch   string `json:"epoch"`
}

func lines(t *testing.T, out string) []printed {
	t.Helper()
	var all []printed
	for line := range strings.Lines(out) {
		var p printed
		if err := json.Unmarshal([]byte(line), &p); err != nil {
			t.Fatalf("printed %q: %v", line, err)
		}
		all = append(all, p)
	}
	return all
}

func payloads(t *testing.T, out string) string {
	t.Helper()
	var all []any
	for _, p := range lines(t, out) {
		all = append(all, p.Data)
	}
	return fmt.Sprint(all)
}

func TestPubAndSub(t *testing.T) {
	newSite(t)
	if out := must(t, "{\"n\": 1}\nhello\n\n[3]\n", "pub", "--verbose", "/open/a"); strings.Count(out, "stored at offset") != 3 {
		t.Errorf("pub --verbose printed\n%s", out)
	}
	receipts := must(t, " 4 \n\n", "pub", "--raw", "--json", "/open/a")
	var receipt struct{ Line, Offset int }
	if err := json.Unmarshal([]byte(strings.Split(receipts, "\n")[0]), &receipt); err != nil || receipt.Line != 1 || receipt.Offset == 0 {
		t.Errorf("pub --json printed\n%s", receipts)
	}
	out := must(t, "", "sub", "--from-start", "--count", "5", "/open/a")
	if got := payloads(t, out); got != "[map[n:1] hello [3]  4  ]" {
		t.Errorf("sub printed %s", got)
	}
	second := lines(t, out)[1]
	out = must(t, "", "sub", "--after", fmt.Sprint(second.Offset), "--epoch", second.Epoch, "--count", "1", "/open/a")
	if got := payloads(t, out); got != "[[3]]" {
		t.Errorf("behind offset %d: %s", second.Offset, got)
	}
	out = must(t, "", "sub", "--after", "5", "--epoch", "0123456789abcdef", "--count", "1", "/open/a")
	if !strings.Contains(out, `"gap":{"after":5,`) || !strings.Contains(out, `"reason":"epoch"`) {
		t.Errorf("after a position of another history:\n%s", out)
	}
}

func TestSubGoesOnAcrossARestart(t *testing.T) {
	s := newSite(t)
	must(t, "1\n", "pub", "/open/a")
	r, w := io.Pipe()
	root := rootCommand()
	root.SetArgs([]string{"sub", "--from-start", "--count", "3", "/open/a"})
	root.SetOut(w)
	root.SetErr(t.Output())
	done := make(chan error, 1)
	go func() {
		done <- root.ExecuteContext(t.Context())
		w.Close()
	}()
	out := json.NewDecoder(r)
	for n := 1; n <= 3; n++ {
		var p printed
		if err := out.Decode(&p); err != nil || p.Data != float64(n) {
			t.Fatalf("%+v, %v; want %d", p, err, n)
		}
		if n < 3 {
			s.stop()
			s.start()
			must(t, fmt.Sprintln(n+1), "pub", "/open/a")
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestANamedSubGoesOnWhereItEnded(t *testing.T) {
	s := newSite(t)
	named := func(count string) string {
		return payloads(t, must(t, "", "sub", "--user", "alice", "--client", "backup", "--count", count, "/open/a"))
	}
	// The first run makes the session; it ends when the message is there that is
	// published behind its back until then.
	ctx, cancel := context.WithCancel(t.Context())
	published := make(chan struct{})
	go func() {
		defer close(published)
		for ctx.Err() == nil {
			orbitd(t, "0\n", "pub", "/open/a")
		}
	}()
	if got := named("1"); got != "[0]" {
		t.Fatalf("the first run printed %s", got)
	}
	cancel()
	<-published
	must(t, "1\n2\n3\n", "pub", "/open/a")
	for range 2 {
		s.stop()
		s.start()
	}
	// The zeros that came between are there too, as many as there were.
	var rest []string
	for !slices.Contains(rest, "[3]") {
		rest = append(rest, named("1"))
	}
	want := []string{"[1]", "[2]", "[3]"}
	if len(rest) < 3 || !slices.Equal(rest[len(rest)-3:], want) {
		t.Errorf("the runs printed %v; want them to end in %v", rest, want)
	}
}

func TestWhatIsRefusedIsSaid(t *testing.T) {
	newSite(t)
	for _, test := range []struct {
		in   string
		args []string
		want []string
	}{
		{"", []string{"sub", "/members/a"}, []string{"/members/a: forbidden: ", "hint: "}},
		{"x\ny\n", []string{"pub", "/members/a"}, []string{"line 1: forbidden: "}},
		{"x\n\xff\n", []string{"pub", "/open/a"}, []string{"line 2: not UTF-8"}},
		{"x\n" + strings.Repeat("x", 70<<10) + "\ny\n", []string{"pub", "/open/a"}, []string{"line 2: too_large: "}},
		{"", []string{"sub", "--token", "nonsense", "/open/a"}, []string{"unauthorized", "hint: log in"}},
		{"x\n", []string{"pub", "--token", "nonsense", "/open/a"}, []string{"unauthorized", "lines that were read and are not: 1"}},
		{"", []string{"sub", "--client", "c", "/open/a"}, []string{"--client needs a user"}},
		{"", []string{"sub", "/members/a", "/members/a"}, []string{"/members/a: forbidden: "}},
		{"", []string{"sub", "--count", "-1", "/open/a"}, []string{"--count -1"}},
		{"x\n" + strings.Repeat("x", 17<<20), []string{"pub", "/open/a"}, []string{"line 2: it has more than 16 MiB", "lines that are stored: 1"}},
		{"", []string{"sub", "open"}, []string{`does not begin with "/"`}},
		{"", []string{"sub", "--after", "1", "/open/a"}, []string{"epoch"}},
		{"", []string{"sub", "--url", "localhost:8080", "/open/a"}, []string{"server URL"}},
	} {
		_, err := orbitd(t, test.in, test.args...)
		for _, want := range test.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("orbitd %q: %v; want %q", test.args, err, want)
			}
		}
	}
	t.Setenv("ORBITD_PASSWORD", "wrong")
	if _, err := orbitd(t, "", "sub", "--user", "alice", "/members/a"); err == nil || !strings.Contains(err.Error(), "unauthorized") {
		t.Errorf("a wrong password: %v", err)
	}
	t.Setenv("ORBITD_PASSWORD", "secret")
	must(t, "x\n", "pub", "--user", "alice", "/members/a")
}
