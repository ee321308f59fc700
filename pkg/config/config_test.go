package config_test

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMistakes reads each file of testdata, which has one kind of mistake, and
// compares what is said about it.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no fixtures", err)
	}
	t.Chdir("testdata")
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			_, err := config.LoadWith(name, config.Options{Getenv: environment(map[string]string{"CREDENTIALS_DIRECTORY": "/nowhere"})})
			problems, ok := errors.AsType[config.Problems](err)
			if !ok {
				t.Fatalf("got %v, want problems", err)
			}
			for _, p := range problems {
				if p.Line == 0 || p.Hint == "" {
					t.Errorf("without line or hint: %v", p)
				}
			}
			golden(t, strings.TrimSuffix(name, ".toml")+".golden", problems.Error())
		})
	}
}

// TestMissingFiles is for what cannot be a fixture.
func TestMissingFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("large.toml", make([]byte, 9<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"none.toml":  "none.toml: cannot read it: no such file or directory\n    hint: name the configuration with -c FILE",
		".":          ".: cannot read it: is a directory",
		"large.toml": "large.toml: it is larger than 8MiB",
	} {
		if _, err := config.Load(name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if err := errors.Join(os.WriteFile("orbitd.toml", nil, 0o600), os.WriteFile("apps.d", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load("orbitd.toml"); err == nil || !strings.Contains(err.Error(), "apps.d: cannot list it") {
		t.Errorf("apps.d is a file: %v", err)
	}
}

// TestApplicationFiles has mistakes in all files of apps.d but one.
func TestApplicationFiles(t *testing.T) {
	t.Chdir("testdata/apps")
	c, err := config.Load("orbitd.toml")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, d := range c.Disabled {
		said = append(said, d.Err.Error())
		if c.Realm(d.Name) != nil {
			t.Errorf("%s is disabled and has a realm", d.Name)
		}
	}
	golden(t, "disabled.golden", strings.Join(said, "\n"))

	alice := acl.Subject{User: "alice"}
	for _, tc := range []struct {
		action  acl.Action
		channel string
		reason  acl.Reason
	}{
		{acl.Subscribe, "/chat/lobby", acl.ByAnyone},
		{acl.Publish, "/chat/lobby", acl.ByAuthenticated},
		{acl.Subscribe, "/other/open", acl.ByAnyone},
		{acl.Subscribe, "/shop/open", acl.AppDisabled},
		{acl.Subscribe, "/elsewhere/open", acl.AppDisabled},
		{acl.Subscribe, "/news/x", acl.NoRule},
	} {
		if d := c.Policy.Decide(alice, tc.action, channelName(t, tc.channel)); d.Reason != tc.reason {
			t.Errorf("%s %s: %s, want %s", tc.action, tc.channel, d.Reason, tc.reason)
		}
	}
	if names := appNames(c); !slices.Equal(names, []string{"chat"}) {
		t.Errorf("applications %q", names)
	}
	if s := c.Storage(channelName(t, "/shop/x")); s != (acl.Storage{}) || c.Unruled("/shop/x") {
		t.Errorf("what a disabled application stored is trimmed: %+v", s)
	}
}

func TestDefaults(t *testing.T) {
	c := parse(t, "")
	if c.Server.HTTP != "127.0.0.1:8080" || c.Server.HTTPS != "" || c.Server.Control != "/run/orbitd/control.sock" {
		t.Errorf("server %+v", c.Server)
	}
	if c.Server.Compression != 1024 || parse(t, "[server]\ncompression = \"off\"").Server.Compression != 0 || parse(t, "[server]\ncompression = \"4KiB\"").Server.Compression != 4096 {
		t.Errorf("compression from %d bytes on", c.Server.Compression)
	}
	if e := c.Engine; e.Type != config.LocalEngine || e.Path != config.DefaultStateDirectory || e.KeyWindow != 24*time.Hour || e.Retain.Age != 7*24*time.Hour {
		t.Errorf("engine %+v", e)
	}
	want := config.Session{
		TTL: 2 * time.Minute, DurableTTL: 720 * time.Hour, Window: 256, WindowBytes: 1 << 20, MaxMessage: 64 << 10,
		MaxChannels: 1000, MaxSessions: 1_000_000, MaxNamed: 1_000, MaxDeliveries: 10, CommandRate: 1000, CommandBurst: 10_000, BackendRate: 0,
		LoginTimeout: 10 * time.Second, Ping: 25 * time.Second,
	}
	if c.Session != want {
		t.Errorf("session %+v", c.Session)
	}
	if c.Log != (config.Log{Level: logrus.InfoLevel, Format: config.TextLog}) {
		t.Errorf("log %+v", c.Log)
	}
	if c.Policy.Lookup("/chat/lobby") != nil || len(c.Auth) != 0 {
		t.Error("an empty file allows something")
	}
	if s := c.Storage("/chat/lobby"); s != (acl.Storage{}) || !c.Unruled("/chat/lobby") {
		t.Errorf("without a rule: %+v", s)
	}
}

// Addresses of other interfaces, of other ports, or of any port that is free do
// not take each other's place.
func TestAddressesOfTheirOwn(t *testing.T) {
	for _, two := range [][2]string{
		{"0.0.0.0:8080", "[::1]:8080"}, {"127.0.0.1:8080", "127.0.0.2:8080"}, {":8080", ":8090"}, {"127.0.0.1:0", ":0"},
	} {
		parse(t, fmt.Sprintf("server.http = %q\nserver.ops = %q\n", two[0], two[1]))
	}
	for _, two := range [][2]string{
		{"0.0.0.0:8080", "127.0.0.1:8080"}, {"[::]:8080", "0.0.0.0:8080"}, {"[::1]:8080", ":8080"}, {"[::ffff:127.0.0.1]:8080", "localhost:8080"},
	} {
		text := fmt.Sprintf("server.http = %q\nserver.ops = %q\n", two[0], two[1])
		if _, err := config.Parse("orbitd.toml", []byte(text), config.Options{}); err == nil || !strings.Contains(err.Error(), "is taken by http") {
			t.Errorf("%s: %v", two, err)
		}
	}
}

func TestValues(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "users"), "")
	write(t, filepath.Join(dir, "key.pem"), "secret\r\n")
	c, err := config.Parse("orbitd.toml", []byte(`
server.trusted_proxies = ["10.0.0.0/8", "192.0.2.1", "2001:db8::1"]
server.origins = ["https://www.example.org", "http://localhost:8080"]
server.control = ""
engine = { path = "var/engine", retain = {}, min_free = "0B" }
session = { ttl = "1m30s", durable_ttl = "2w", max_message = "1KiB" }
log = { level = "debug", format = "json" }
[[auth]]
type = "file"
name = "local"
path = "users"
[[auth]]
type = "token"
key = "file:key.pem"
ttl = "500000ms"
[app.chat]
auth = ["local"]
origins = []
quota = { connections = 50_000, publish_rate = 5_000, stored = "10GiB" }
[[channel]]
match = "/chat/{user}"
subscribe = ["self"]
store = "memory"
[[channel]]
match = "/chat/a/**"
retain = { age = "1d", messages = 5, bytes = "1TiB" }
[[channel]]
match = "/chat/b/**"
store = "memory"
retain = { bytes = "1MiB" }
`), config.Options{Dir: dir, Getenv: environment(nil)})
	if err != nil {
		t.Fatal(err)
	}
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::1/128")}
	if !slices.Equal(c.Server.TrustedProxies, prefixes) || len(c.Server.Origins) != 2 || c.Server.Control != "" {
		t.Errorf("server %+v", c.Server)
	}
	if path := filepath.Join(dir, "var/engine"); c.Engine.Path != path || c.StateDirectory != path || c.Engine.Retain != (acl.Storage{}) || c.Engine.MinFree != 0 {
		t.Errorf("engine %+v, state %s", c.Engine, c.StateDirectory)
	}
	if c.Session.TTL != 90*time.Second || c.Session.DurableTTL != 14*24*time.Hour || c.Session.MaxMessage != 1024 {
		t.Errorf("session %+v", c.Session)
	}
	if c.Log.Level != logrus.DebugLevel || c.Log.Format != config.JSONLog {
		t.Errorf("log %+v", c.Log)
	}
	checkAuth(t, c, dir)
	for name, want := range map[string]acl.Storage{
		"/chat/bob":       {Memory: true, Messages: 1000},
		"/chat/a/x/$dead": {Age: 24 * time.Hour, Messages: 5, Bytes: 1 << 40},
		"/other/$dead":    {},
		"/chat/a/$x":      {},
		"/chat/a/x":       {Age: 24 * time.Hour, Messages: 5, Bytes: 1 << 40},
		"/chat/b/x":       {Memory: true, Bytes: 1 << 20},
		"/other":          {},
	} {
		if s := c.Storage(channelName(t, name)); s != want {
			t.Errorf("%s is stored as %+v, want %+v", name, s, want)
		}
	}
}

func checkAuth(t *testing.T, c *config.Config, dir string) {
	t.Helper()
	if len(c.Auth) != 2 || c.Auth[0].Name != "local" || c.Auth[0].Path != filepath.Join(dir, "users") || c.Auth[1].Token.TTL != 500*time.Second {
		t.Fatalf("auth %+v", c.Auth)
	}
	if secret, err := c.Auth[1].Token.Key.Read(); err != nil || string(secret) != "secret" {
		t.Errorf("key %q, %v", secret, err)
	}
	chat, ok := c.App("chat")
	if want := (config.Quota{Connections: 50_000, PublishRate: 5_000, Stored: 10 << 30}); !ok || chat.Quota != want || len(chat.Origins) != 0 || !slices.Equal(chat.Auth, []string{"local"}) {
		t.Errorf("chat %+v", chat)
	}
	other, ok := c.App("other")
	if ok || !slices.Equal(other.Auth, []string{"local", "token"}) || len(other.Origins) != 2 {
		t.Errorf("other %+v", other)
	}
	if !slices.Equal(c.Realm("chat"), []string{"local"}) || !slices.Equal(c.Realm("other"), other.Auth) {
		t.Errorf("realm of chat %q, of another %q", c.Realm("chat"), c.Realm("other"))
	}
}

func TestStateDirectory(t *testing.T) {
	for _, tc := range []struct {
		env, option, path string
		state, engine     string
	}{
		{"", "", "", "/var/lib/orbitd", "/var/lib/orbitd"},
		{"/s", "", "", "/s", "/s"},
		{"/s:/other", "/o", "", "/s", "/s"},
		{"", "/o", "", "/o", "/o"},
		{"", "", "/e", "/e", "/e"},
		{"/s", "", "/e", "/s", "/e"},
		{"", "/o", "e", "/o", "/etc/orbitd/e"},
	} {
		text := ""
		if tc.path != "" {
			text = `engine.path = "` + tc.path + `"`
		}
		c, err := config.Parse("/etc/orbitd/orbitd.toml", []byte(text), config.Options{
			StateDirectory: tc.option, Getenv: environment(map[string]string{"STATE_DIRECTORY": tc.env}),
		})
		if err != nil || c.StateDirectory != tc.state || c.Engine.Path != tc.engine {
			t.Errorf("%+v: state %s, engine %s, %v", tc, c.StateDirectory, c.Engine.Path, err)
		}
	}
}

func TestCredential(t *testing.T) {
	const text = "[[auth]]\ntype = \"token\"\nkey = \"credential:token\"\n"
	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), "s3cret\n")
	c, err := config.Parse("orbitd.toml", []byte(text), config.Options{Getenv: environment(map[string]string{"CREDENTIALS_DIRECTORY": dir})})
	if err != nil {
		t.Fatal(err)
	}
	if secret, err := c.Auth[0].Token.Key.Read(); err != nil || string(secret) != "s3cret" {
		t.Errorf("%q, %v", secret, err)
	}
	if s := c.Auth[0].Token.Key.String(); s != "credential:token" {
		t.Errorf("shown as %q", s)
	}
	// Outside of the unit the file can be checked, and the secret not be read.
	c = parse(t, text)
	if _, err := c.Auth[0].Token.Key.Read(); err == nil || c.Auth[0].Token.Key.IsZero() {
		t.Errorf("read without $CREDENTIALS_DIRECTORY: %v", err)
	}
}

// FuzzConfig looks for texts that make reading panic or lose its way, and for
// problems that do not say where.
func FuzzConfig(f *testing.F) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range append(files, "../../etc/orbitd.toml", "../../etc/demo.toml") {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse("orbitd.toml", data, config.Options{Dir: "/nowhere", Getenv: environment(nil)})
		problems, ok := errors.AsType[config.Problems](err)
		switch {
		case err == nil:
			if c.Policy == nil || c.Session.WindowBytes < c.Session.MaxMessage {
				t.Fatalf("accepted: %+v", c)
			}
		case !ok || len(problems) == 0:
			t.Fatalf("not a problem of the file: %v", err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > 1+strings.Count(string(data), "\n") || p.Hint == "" {
				t.Fatalf("line %d, hint %q: %s", p.Line, p.Hint, p.Text)
			}
		}
	})
}

// golden compares text with a file. The folder of the test stands in it as $DIR.
func golden(t *testing.T, file, text string) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(text, dir, "$DIR") + "\n"
	if *update {
		write(t, file, text)
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("got\n%swant\n%s", text, want)
	}
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse("orbitd.toml", []byte(text), config.Options{Getenv: environment(nil)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
