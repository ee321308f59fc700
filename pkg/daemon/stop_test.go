package daemon_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/orbitd/orbitd/pkg/daemon"
	"github.com/orbitd/orbitd/tests/slapd"
)

// What waits to log in does not hold up a stop: of a crowd whose passwords take a minute to
// check, those that have begun are.
func TestStopWhileACrowdLogsIn(t *testing.T) {
	const crowd, passes, memory = 600, 4, 64 << 10
	salt := "c2FsdHNhbHQ" // saltsalt
	sum := argon2.IDKey([]byte("secret"), []byte("saltsalt"), passes, memory, 1, 16)
	var users strings.Builder
	for i := range crowd {
		fmt.Fprintf(&users, "user%d:$argon2id$v=19$m=%d,t=%d,p=1$%s$%s:\n", i, memory, passes, salt, base64.RawStdEncoding.EncodeToString(sum))
	}
	s := &site{t: t, folder: t.TempDir()}
	s.write("users", users.String())
	s.write("orbitd.toml", strings.Replace(server, "[server]\n", "[server]\nstomp = \"127.0.0.1:0\"\n", 1)+small+"[[auth]]\ntype = \"file\"\npath = \"users\"\n"+open)
	must(t, s.start(nil))
	for i := range crowd {
		c, err := net.Dial("tcp", s.address("stomp"))
		must(t, err)
		defer c.Close()
		_, err = fmt.Fprintf(c, "CONNECT\naccept-version:1.2\nhost:here\nlogin:user%d\npasscode:secret\n\n\x00", i)
		must(t, err)
	}
	for s.Clients() < crowd {
		time.Sleep(time.Millisecond)
	}
	must(t, s.Stop(t.Context()))
}

// While a directory says nothing to who has connected users looked up again, a reload puts
// new rules in force, and a stop waits for neither.
func TestStopWhileADirectoryHangs(t *testing.T) {
	d := slapd.Start(t, slapd.Options{})
	s := newLDAPSite(t, d, "operation_timeout = \"1m\"\nlogin_timeout = \"1m\"\nrefresh = \"1d\"")
	s.read("alice")
	d.Freeze()
	rechecked, reloaded := make(chan error, 1), make(chan error, 2)
	go func() { rechecked <- s.Recheck(t.Context(), "") }()
	for asked := false; !asked; {
		_, counted := s.do("GET", "ops", "/metrics", "")
		asked = strings.Contains(counted, `kind="search",state="in_use"} 1`)
	}
	s.write("orbitd.toml", s.text("orbitd.toml")+open)
	for range 2 { // of which one waits for the other
		go func() { reloaded <- s.Reload(t.Context()) }()
	}
	for len(s.Config().Rules) < 2 {
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-rechecked:
		t.Errorf("the reload has waited: %v", err)
	default:
	}
	must(t, s.Stop(t.Context()))
	if err := errors.Join(<-reloaded, <-reloaded); !errors.Is(err, daemon.ErrNotRechecked) || !strings.Contains(err.Error(), "the daemon is stopping") {
		t.Errorf("reloads: %v", err)
	}
	if err := <-rechecked; err == nil {
		t.Error("recheck has found out")
	}
}
