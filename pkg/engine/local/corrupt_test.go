package local

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// Once damage was found nothing is served any more, and that is what the engine says
// of itself for as long as it runs.
func TestDamageIsSaidForGood(t *testing.T) {
	mem := crashed(t, 60)
	opts := Options{FS: mem, SegmentSize: 4 << 10, checkpointEvery: 1 << 20, VerifyBytes: 1}
	e := open(t, opts)
	mem.Flip("00000001.seg", 8*(512+56+20)) // in the first record; the start does not look there
	read := func() error {
		_, err := e.Read(t.Context(), []channel.Name{"/a/b"}, message.Position{}, engine.Limit{})
		return err
	}
	for tick := range 3 {
		if err := read(); message.CodeOf(err) != message.Unavailable {
			t.Fatalf("tick %d: the read: %v", tick, err)
		}
		if err := e.Status().Refusing; message.CodeOf(err) != message.Unavailable {
			t.Errorf("tick %d: the status: %v", tick, err)
		}
		if _, err := engine.Publish(t.Context(), e, message.Message{Channel: "/a/b"}); message.CodeOf(err) != message.Unavailable {
			t.Errorf("tick %d: the publish: %v", tick, err)
		}
		if n := gauge(t, e, "orbitd_engine_refusing"); n != 1 {
			t.Errorf("tick %d: orbitd_engine_refusing is %v", tick, n)
		}
		e.upkeep(t)
	}
}

// gauge returns what the engine's metrics have under a name.
func gauge(t *testing.T, e *Engine, name string) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(e)
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.GetName() == name {
			return m.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}
