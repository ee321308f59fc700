package stomp

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/reactor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A directory has everybody in the group staff at a login; after that, the test says
// in which groups they are.
type directory struct {
	asked chan chan []string
}

func (d *directory) Authenticate(_ context.Context, c auth.Credentials) (*auth.Identity, error) {
	return &auth.Identity{User: c.User, Realm: "names", Groups: []string{"staff"}}, nil
}

func (d *directory) Refresh(_ context.Context, id *auth.Identity) (*auth.Identity, error) {
	answer := make(chan []string)
	d.asked <- answer
	return &auth.Identity{User: id.User, Realm: id.Realm, Groups: <-answer}, nil
}

func (d *directory) Vouches(string, string) bool { return true }
func (d *directory) Ended(*auth.Identity) bool   { return false }

// newServer returns a server whose channels are those of staff, and its address.
func newServer(t *testing.T, d *directory) (*Server, string) {
	t.Helper()
	all, err := channel.ParsePattern("/**")
	must(t, err)
	staff, err := acl.ParsePrincipal("group:staff")
	must(t, err)
	policy, err := acl.Compile([]acl.Rule{{Match: all, Subscribe: []acl.Principal{staff}}})
	must(t, err)
	e := memory.New(memory.Options{})
	b, err := broker.New(broker.Options{Engine: e, Rights: broker.Rights{
		Policy: policy, Auth: d, Storage: func(channel.Name) engine.Rule { return engine.Rule{} },
	}})
	must(t, err)
	r, err := reactor.New(reactor.Options{Loops: 1})
	must(t, err)
	log := logrus.New()
	log.SetOutput(t.Output())
	s, err := New(Options{Broker: b, Hub: hub.New([]hub.Loop{r.Loops()[0]}), Loops: r.Loops(), Logger: log, Now: time.Now})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, r.Listen(l, s.Accept))
	t.Cleanup(func() {
		l.Close()
		b.Close()
		must(t, r.Close(context.Background()))
		must(t, e.Close(context.Background()))
	})
	return s, l.Addr().String()
}

// Of two looks at a client that overlap, the one that began first has the last word of
// neither: what it found may be older.
func TestRechecksOverlap(t *testing.T) {
	d := &directory{asked: make(chan chan []string)}
	s, address := newServer(t, d)
	c, err := net.Dial("tcp", address)
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	from := bufio.NewReader(c)
	say := func(frame, want string) {
		t.Helper()
		_, err := io.WriteString(c, frame+"\n\n\x00")
		must(t, err)
		got, err := from.ReadString(0)
		if must(t, err); !strings.Contains(got, want) {
			t.Fatalf("%q, want %s", got, want)
		}
	}
	say("CONNECT\naccept-version:1.2\nhost:x\nlogin:alice\npasscode:x", "CONNECTED")
	over := make(chan error)
	for range 2 {
		go func() { over <- s.RecheckWhere(t.Context(), func(*broker.Who) bool { return true }) }()
	}
	first, second := <-d.asked, <-d.asked
	second <- nil
	must(t, <-over)
	first <- []string{"staff"} // as it was when it was asked
	select {
	case again := <-d.asked:
		again <- nil
		must(t, <-over)
	case err := <-over:
		must(t, err)
	}
	say("SUBSCRIBE\nid:1\ndestination:/a\nreceipt:r", "code:forbidden")
}
