package broker_test

import (
	"context"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code message.Code) *message.Error {
	t.Helper()
	if message.CodeOf(err) != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return message.AsError(err)
}

// A directory knows everybody by name, but for those who have gone. Its realm
// vouches for the applications it is told, and the other one for the rest.
type directory struct {
	realm  string
	apps   []string
	before func(ctx context.Context) error // of each call

	mu   sync.Mutex
	gone map[string]error // why
}

func (d *directory) Authenticate(ctx context.Context, c auth.Credentials) (*auth.Identity, error) {
	return d.look(ctx, c.Token)
}

func (d *directory) Refresh(ctx context.Context, id *auth.Identity) (*auth.Identity, error) {
	return d.look(ctx, id.User)
}

func (d *directory) look(ctx context.Context, user string) (*auth.Identity, error) {
	if d.before != nil {
		if err := d.before(ctx); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.gone[user]; err != nil {
		return nil, err
	}
	return &auth.Identity{User: user, Realm: d.realm, Groups: []string{"seen"}}, nil
}

func (d *directory) remove(user string) {
	d.fail(user, message.Errorf(message.Unauthorized, "no such user"))
}

// fail has the directory say err of a user from now on.
func (d *directory) fail(user string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone == nil {
		d.gone = map[string]error{}
	}
	d.gone[user] = err
}

func (d *directory) Ended(id *auth.Identity) bool { return id.Login != nil && id.Login.ID == "ended" }

func (d *directory) Vouches(realm, app string) bool {
	for _, a := range d.apps {
		if a == app {
			return realm == d.realm
		}
	}
	return d.apps == nil || realm == otherRealm
}

const otherRealm = "others"

// rights are rules "pattern, subscribers, publishers" and a directory.
func rights(t testing.TB, d *directory, rules ...[3]string) broker.Rights {
	t.Helper()
	var compiled []acl.Rule
	for _, r := range rules {
		match, err := channel.ParsePattern(r[0])
		must(t, err)
		compiled = append(compiled, acl.Rule{Match: match, Subscribe: principals(t, r[1]), Publish: principals(t, r[2])})
	}
	policy, err := acl.Compile(compiled)
	must(t, err)
	return broker.Rights{Policy: policy, Auth: d, Storage: func(channel.Name) engine.Rule { return engine.Rule{} }}
}

func principals(t testing.TB, name string) []acl.Principal {
	t.Helper()
	if name == "" {
		return nil
	}
	p, err := acl.ParsePrincipal(name)
	must(t, err)
	return []acl.Principal{p}
}

// newBroker returns a broker on an engine in memory that remembers two keys; both end
// with the test.
func newBroker(t testing.TB, o broker.Options) (*broker.Broker, *memory.Engine) {
	t.Helper()
	e := memory.New(memory.Options{KeyCount: 2})
	o.Engine = e
	b, err := broker.New(o)
	must(t, err)
	t.Cleanup(func() {
		must(t, b.Close(context.Background()))
		must(t, e.Close(context.Background()))
	})
	return b, e
}

// publish is Broker.Publish that waits.
func publish(b *broker.Broker, who *broker.Who, msgs ...message.Message) ([]engine.Receipt, error) {
	type answer struct {
		receipts []engine.Receipt
		err      error
	}
	answers := make(chan answer, 1)
	b.Publish(who, msgs, func(r []engine.Receipt, err error) { answers <- answer{r, err} })
	a := <-answers
	return a.receipts, a.err
}

func identity(user string) *auth.Identity { return &auth.Identity{User: user, Realm: "names"} }

func who(user string) *broker.Who { return broker.NewWho(identity(user)) }

func text(name channel.Name, s string) message.Message {
	return message.Message{Channel: name, Data: []byte(s)}
}
