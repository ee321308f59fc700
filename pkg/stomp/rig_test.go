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

// newServer returns a server whose channels are those of staff, with an engine within
// what the test puts around it, and its address.
func newServer(t *testing.T, d *directory, within func(engine.Engine) engine.Engine) (*Server, string) {
	t.Helper()
	all, err := channel.ParsePattern("/**")
	must(t, err)
	staff, err := acl.ParsePrincipal("group:staff")
	must(t, err)
	policy, err := acl.Compile([]acl.Rule{{Match: all, Subscribe: []acl.Principal{staff}}})
	must(t, err)
	e := memory.New(memory.Options{})
	whole := within(e)
	b, err := broker.New(broker.Options{Engine: whole, Rights: broker.Rights{
		Policy: policy, Auth: d, Storage: func(channel.Name) engine.Rule { return engine.Rule{} },
	}})
	must(t, err)
	r, err := reactor.New(reactor.Options{Loops: 1})
	must(t, err)
	log := logrus.New()
	log.SetOutput(t.Output())
	h := hub.New([]hub.Loop{r.Loops()[0]})
	r.Loops()[0].OnTurn(h.Shards()[0].Round)
	s, err := New(Options{Broker: b, Hub: h, Loops: r.Loops(), Logger: log, Now: time.Now})
	must(t, err)
	stop := whole.Tail(h.Commit)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, r.Listen(l, s.Accept))
	t.Cleanup(func() {
		stop()
		l.Close()
		must(t, b.Close(context.Background()))
		must(t, r.Close(context.Background()))
		must(t, e.Close(context.Background()))
	})
	return s, l.Addr().String()
}

// A client speaks frames by hand.
type client struct {
	net.Conn
	t    *testing.T
	from *bufio.Reader
}

// dial connects alice, with that client-id.
func dial(t *testing.T, address, id string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { nc.Close() })
	must(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
	c := &client{nc, t, bufio.NewReader(nc)}
	c.say("CONNECT\naccept-version:1.2\nhost:x\nlogin:alice\npasscode:x\nclient-id:" + id)
	c.want("CONNECTED")
	return c
}

// say says a frame without a body.
func (c *client) say(head string) {
	c.t.Helper()
	_, err := io.WriteString(c, head+"\n\n\x00")
	must(c.t, err)
}

// want hears a frame with that text.
func (c *client) want(text string) {
	c.t.Helper()
	got, err := c.from.ReadString(0)
	if must(c.t, err); !strings.Contains(got, text) {
		c.t.Fatalf("%q, want %s", got, text)
	}
}
