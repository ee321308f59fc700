package local

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

func TestMain(m *testing.M) {
	if fault := os.Getenv(childVariable); fault != "" {
		beChild(fault)
		return
	}
	goleak.VerifyTestMain(m)
}

// open opens an engine that the test's end closes.
func open(t testing.TB, opts Options) *Engine {
	t.Helper()
	if opts.FS == nil && opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	e, err := Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(context.Background()) })
	return e
}

func publish(t testing.TB, e *Engine, ch channel.Name, data string) message.Offset {
	t.Helper()
	r, err := engine.Publish(t.Context(), e, message.Message{Channel: ch, Data: []byte(data)})
	if err != nil {
		t.Fatal(err)
	}
	return r[0].Offset
}

// readAll reads a channel to its end.
func readAll(t testing.TB, e *Engine, ch channel.Name, after message.Position) (texts []string, gaps []engine.Gap) {
	t.Helper()
	for {
		b, err := e.Read(t.Context(), []channel.Name{ch}, after, engine.Limit{Messages: 7})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range b.Messages {
			texts = append(texts, string(m.Data))
		}
		gaps = append(gaps, b.Gaps...)
		after = message.Position{Epoch: b.Epoch, Offset: b.Through}
		if !b.More {
			return texts, gaps
		}
	}
}

func TestPublishAndReadAcrossRestarts(t *testing.T) {
	opts := Options{FS: vfs.NewMem(), SegmentSize: 8 << 10}
	var want []string
	for run := range 5 {
		e := open(t, opts)
		for i := range 40 {
			want = append(want, fmt.Sprintf("%d.%d", run, i))
			publish(t, e, "/a/b", want[len(want)-1])
			publish(t, e, "/a/c", "other")
		}
		got, gaps := readAll(t, e, "/a/b", message.Position{})
		if fmt.Sprint(got) != fmt.Sprint(want) || len(gaps) > 0 {
			t.Fatalf("run %d: got %v, gaps %v", run, got, gaps)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCrashKeepsWhatWasAnswered(t *testing.T) {
	for seed := range 50 {
		rnd := rand.New(rand.NewPCG(uint64(seed), 1))
		mem := vfs.NewMem()
		var want []string
		for run := range 4 {
			fault := &vfs.Fault{FS: mem}
			e := open(t, Options{FS: fault, SegmentSize: 8 << 10})
			got, _ := readAll(t, e, "/a/b", message.Position{})
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("seed %d run %d: got %v, want %v", seed, run, got, want)
			}
			for i := range 30 {
				want = append(want, fmt.Sprintf("%d.%d", run, i))
				publish(t, e, "/a/b", want[len(want)-1])
			}
			fault.PowerOff()
			next := mem.Crash(rnd, rnd.Float64())
			e.Close(t.Context())
			mem = next
		}
	}
}

func TestTail(t *testing.T) {
	e := open(t, Options{})
	got := make(chan engine.Batch, 10)
	stop := e.Tail(func(b engine.Batch) { got <- b })
	o := publish(t, e, "/a/b", "x")
	if b := <-got; len(b.Messages) != 1 || b.Messages[0].Offset != o || b.Through != o {
		t.Fatalf("got %+v", b)
	}
	stop()
	publish(t, e, "/a/b", "y")
	if len(got) > 0 {
		t.Fatal("delivered after stop")
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, publishers := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint(publishers), func(b *testing.B) {
			e := open(b, Options{})
			data := make([]byte, 256)
			per := b.N/publishers + 1
			b.SetBytes(256)
			b.ResetTimer()
			var wg sync.WaitGroup
			for p := range publishers {
				wg.Go(func() {
					name := channel.Name(fmt.Sprintf("/bench/%d", p%100))
					answered := make(chan error, 1)
					msgs := make([]message.Message, 1)
					done := func(_ []engine.Receipt, err error) { answered <- err }
					for range per {
						msgs[0] = message.Message{Channel: name, Data: data}
						e.Submit(msgs, done)
						if err := <-answered; err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(per*publishers)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}
