package daemon_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"
)

// stopTime is what orbitd serve gives a stop.
const stopTime = 8 * time.Second

// What waits to log in does not hold up a stop: of a crowd whose passwords take a minute to
// check, those that have begun are.
func TestStopWhileACrowdLogsIn(t *testing.T) {
	const crowd, passes, memory = 200, 16, 64 << 10
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
	ctx, cancel := context.WithTimeout(t.Context(), stopTime)
	defer cancel()
	must(t, s.Daemon.Stop(ctx))
}
