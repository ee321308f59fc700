package memory_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/memory"
	"github.com/orbitd/orbitd/pkg/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func publish(t *testing.T, e engine.Engine, ch channel.Name, data, key string) (engine.Receipt, error) {
	t.Helper()
	r, err := engine.Publish(t.Context(), e, message.Message{Channel: ch, Data: []byte(data), Key: key})
	if err != nil {
		return engine.Receipt{}, err
	}
	return r[0], nil
}

func TestRestart(t *testing.T) {
	rules := func(ch channel.Name) engine.Rule { return engine.Rule{Memory: ch == "/ring/a"} }
	e := memory.New(memory.Options{Rules: rules})
	before := e.Status()
	kept, err := publish(t, e, "/log/a", "1", "k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := publish(t, e, "/ring/a", "2", "k"); err != nil {
		t.Fatal(err)
	}
	e = e.Restart(memory.Options{Rules: rules})
	defer e.Close(t.Context())
	if again, err := publish(t, e, "/log/a", "1", "k"); err != nil || again.Offset != kept.Offset || !again.Duplicate {
		t.Errorf("retry after a restart: %v, %v; want a duplicate of %v", again, err, kept)
	}
	b, err := e.Read(t.Context(), []channel.Name{"/log/a", "/ring/a"}, message.Position{Epoch: before.Epoch, Offset: before.Visible}, engine.Limit{})
	if err != nil || len(b.Messages) != 1 || b.Messages[0].Offset != kept.Offset {
		t.Errorf("read after a restart: %v, %v", b, err)
	}
	if len(b.Gaps) != 1 || b.Gaps[0].Channel != "/ring/a" || b.Gaps[0].Reason != engine.Lost {
		t.Errorf("gaps after a restart: %v", b.Gaps)
	}
}

func TestRefuse(t *testing.T) {
	e := memory.New(memory.Options{})
	defer e.Close(t.Context())
	e.Refuse(message.Errorf(message.Unavailable, "full"))
	if _, err := publish(t, e, "/a", "1", ""); message.CodeOf(err) != message.Unavailable {
		t.Errorf("refused publish: %v", err)
	}
	e.Refuse(nil)
	if _, err := publish(t, e, "/a", "1", ""); err != nil {
		t.Errorf("publish after the refusal: %v", err)
	}
}

func TestForget(t *testing.T) {
	e := memory.New(memory.Options{})
	defer e.Close(t.Context())
	at := message.Position{Epoch: e.Status().Epoch, Offset: e.Status().Visible}
	if _, err := publish(t, e, "/a", "1", ""); err != nil {
		t.Fatal(err)
	}
	e.Forget("/a")
	b, err := e.Read(t.Context(), []channel.Name{"/a"}, at, engine.Limit{})
	if err != nil || len(b.Gaps) != 1 || b.Gaps[0].Reason != engine.Expired {
		t.Errorf("read of a forgotten channel: %v, %v", b, err)
	}
}
