package stomp_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/config"
	"github.com/orbitd/orbitd/pkg/daemon"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
	"github.com/orbitd/orbitd/tests/loopback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a wait that ends a test as failed.
const patience = 20 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const configuration = `
[server]
http    = "127.0.0.1:0"
https   = "127.0.0.1:0"
stomp   = "127.0.0.1:0"
stomps  = "127.0.0.1:0"
ops     = ""
control = ""
[tls]
certificate = "cert.pem"
key         = "key.pem"
[engine]
path         = "engine"
segment_size = "16MiB"
min_free     = "1MiB"
[session]
max_message = "2MiB"
window_bytes = "4MiB"
max_deliveries = 3
[[auth]]
type = "file"
path = "users"
[[auth]]
type = "token"
[[channel]]
match     = "/brief/**"
subscribe = ["*"]
publish   = ["*"]
retain    = { age = "1h" }
[[channel]]
match     = "/chat/**"
subscribe = ["*"]
publish   = ["*"]
[[channel]]
match     = "/kill/**"
subscribe = ["*"]
publish   = ["*"]
[[channel]]
match     = "/open/**"
subscribe = ["*"]
publish   = ["*"]
[[channel]]
match     = "/team/*/$dead"
subscribe = ["@authenticated"]
publish   = ["@authenticated"]
[[channel]]
match     = "/team/**"
subscribe = ["@authenticated"]
publish   = ["@authenticated"]
`

// A site is a daemon in this process.
type site struct {
	*daemon.Daemon
	t      testing.TB
	folder string
	trusts *tls.Config
	doors  []string     // where it listens, in the order of its configuration
	clock  atomic.Int64 // nanoseconds since 1970; 0: the real one
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, folder: t.TempDir()}
	s.configure(configuration)
	s.write("users", demoUser)
	authority := tlstest.NewAuthority()
	tlstest.Write(t, s.folder, authority.Certificate())
	s.write("ca.pem", string(authority.PEM()))
	s.trusts = authority.Client()
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *site) start() {
	s.t.Helper()
	log := logrus.New()
	log.SetOutput(io.Discard)
	d, err := daemon.Start(daemon.Options{
		Load:   func() (*config.Config, error) { return config.Load(s.file("orbitd.toml")) },
		Now:    s.now,
		Logger: log, Version: "test",
	})
	must(s.t, err)
	s.Daemon = d
}

func (s *site) now() time.Time {
	if at := s.clock.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Now()
}

// advance moves the daemon's clock on; else it stands still from then on.
func (s *site) advance(d time.Duration) { s.clock.Store(s.now().Add(d).UnixNano()) }

func (s *site) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(s.t, s.Stop(ctx))
}

// restart ends the daemon and starts it again.
func (s *site) restart() {
	s.t.Helper()
	s.stop()
	s.start()
}

// configure writes the configuration, each time with the same addresses, of ports that
// nobody is given while the daemon is away.
func (s *site) configure(text string) {
	s.t.Helper()
	for i := 0; strings.Contains(text, `"127.0.0.1:0"`); i++ {
		if i == len(s.doors) {
			address, err := loopback.Free()
			must(s.t, err)
			s.doors = append(s.doors, address)
		}
		text = strings.Replace(text, `"127.0.0.1:0"`, strconv.Quote(s.doors[i]), 1)
	}
	s.write("orbitd.toml", text)
}

func (s *site) file(name string) string { return filepath.Join(s.folder, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	must(s.t, os.WriteFile(s.file(name), []byte(text), 0o600))
}

func (s *site) address(door string) string { return s.Addrs(door)[0].String() }

// A client speaks frames by hand.
type client struct {
	net.Conn
	t       testing.TB
	decoder frame.Decoder
	unread  []byte
	aside   []frame.Frame // receipts heard while a message was waited for, and the other way round
}

func (s *site) dial() *client {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.address("stomp"))
	must(s.t, err)
	return s.client(nc)
}

func (s *site) dialTLS() *client {
	s.t.Helper()
	nc, err := tls.Dial("tcp", s.address("stomps"), s.trusts.Clone())
	must(s.t, err)
	return s.client(nc)
}

func (s *site) client(nc net.Conn) *client {
	s.t.Cleanup(func() { nc.Close() })
	return &client{Conn: nc, t: s.t, decoder: frame.Decoder{
		Version: frame.V12, Limits: frame.Limits{Headers: 200, Line: 1 << 16, Body: 4 << 20},
	}}
}

// connected says CONNECT in a version, and hears the answer.
func (c *client) connected(version string) *client {
	c.t.Helper()
	c.say("CONNECT\naccept-version:%s\nhost:x\n\n\x00", version)
	if got := c.hear(); got.Command != frame.Connected || got.Text("version") != version {
		c.t.Fatalf("not connected: %s %q", got.Command, got.Headers)
	}
	c.decoder.Version = map[string]frame.Version{"1.0": frame.V10, "1.1": frame.V11, "1.2": frame.V12}[version]
	return c
}

func (c *client) say(format string, args ...any) {
	c.t.Helper()
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	must(c.t, c.SetDeadline(time.Now().Add(patience)))
	_, err := io.WriteString(c.Conn, format)
	must(c.t, err)
}

// next returns the next frame, or why there is none.
func (c *client) next() (frame.Frame, error) {
	buf := make([]byte, 32<<10)
	for {
		for len(c.unread) > 0 {
			f, n, err := c.decoder.Next(c.unread)
			c.unread = c.unread[n:]
			if err != nil {
				return frame.Frame{}, err
			}
			if f != nil {
				own := frame.Frame{Command: f.Command, Body: []byte(string(f.Body))}
				for _, h := range f.Headers {
					own.Headers = append(own.Headers, frame.Header{Name: []byte(string(h.Name)), Value: []byte(string(h.Value))})
				}
				return own, nil
			}
		}
		_ = c.SetDeadline(time.Now().Add(patience)) // a connection that was cut says so to Read
		n, err := c.Read(buf)
		if n == 0 && err != nil {
			return frame.Frame{}, err
		}
		c.unread = []byte(string(buf[:n]))
	}
}

func (c *client) hear() frame.Frame {
	c.t.Helper()
	f, err := c.next()
	must(c.t, err)
	return f
}

// the returns the next frame of that command: receipts and messages come in no
// order among each other.
func (c *client) the(command frame.Command) frame.Frame {
	c.t.Helper()
	for i, f := range c.aside {
		if f.Command == command {
			c.aside = slices.Delete(c.aside, i, i+1)
			return f
		}
	}
	for {
		f := c.hear()
		if f.Command == command {
			return f
		}
		if f.Command == frame.Error {
			c.t.Fatalf("ERROR %q, not %s", f.Headers, command)
		}
		c.aside = append(c.aside, f)
	}
}

// receipt hears one.
func (c *client) receipt(id string) {
	c.t.Helper()
	if f := c.the(frame.Receipt); f.Text("receipt-id") != id {
		c.t.Fatalf("the receipt %s, not %s", f.Text("receipt-id"), id)
	}
}

// message hears one with that body.
func (c *client) message(body string) frame.Frame {
	c.t.Helper()
	f := c.the(frame.Message)
	if string(f.Body) != body {
		c.t.Fatalf("%q %.60q, not the message %.60q", f.Headers, f.Body, body)
	}
	return f
}

// nothing checks that no message has come before the receipt of what is sent now.
func (c *client) nothing() {
	c.t.Helper()
	c.say("SEND\ndestination:/open/x\nreceipt:nothing\n\n\x00")
	if c.receipt("nothing"); len(c.aside) > 0 {
		c.t.Fatalf("a message has come: %q", c.aside[0].Headers)
	}
}

// refused hears an ERROR that says why, and the end.
func (c *client) refused(why string) frame.Frame {
	c.t.Helper()
	f := c.hear()
	if f.Command != frame.Error || !strings.Contains(f.Text("message"), why) {
		c.t.Fatalf("%s %q %q, not an ERROR with %q", f.Command, f.Headers, f.Body, why)
	}
	if f, err := c.next(); err != io.EOF {
		c.t.Fatalf("%q, %v behind the ERROR", f.Command, err)
	}
	return f
}
