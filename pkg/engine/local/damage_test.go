package local

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// crashed returns the folder of an engine that was killed after n publishes, all
// of which were answered, each a batch of its own, over several segments.
func crashed(t testing.TB, n int) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	fault := &vfs.Fault{FS: mem}
	e, err := Open(Options{FS: fault, SegmentSize: 4 << 10, checkpointEvery: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		_, err := engine.Publish(context.Background(), e, message.Message{Channel: "/a/b", Data: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
	}
	fault.PowerOff()
	e.Close(context.Background())
	return mem.Clone()
}

// served opens an engine on a damaged folder and returns how many of the n
// messages it serves; refused is why it serves none. It fails if what is served
// is anything but the first messages, in their order.
func served(t testing.TB, mem *vfs.Mem, n int) (count int, refused error) {
	t.Helper()
	e, err := Open(Options{FS: mem, SegmentSize: 4 << 10, checkpointEvery: 8 << 10})
	if err != nil {
		return 0, err
	}
	defer e.Close(context.Background())
	after := message.Position{}
	for more := true; more; {
		b, err := e.Read(context.Background(), []channel.Name{"/a/b"}, after, engine.Limit{})
		if err != nil {
			return 0, err
		}
		for _, m := range b.Messages {
			if string(m.Data) != fmt.Sprint(count) {
				t.Fatalf("message %d is %q", count, m.Data)
			}
			count++
		}
		after, more = message.Position{Epoch: b.Epoch, Offset: b.Through}, b.More
	}
	if count > n {
		t.Fatalf("%d messages are served; %d were stored", count, n)
	}
	return count, nil
}

// Whatever bit is flipped and wherever a file is cut: all is served, or the
// engine refuses and names a file. Only damage to the last batch, and to nothing
// but it, may pass for a torn tail.
func TestDamageIsNeverSilent(t *testing.T) {
	const n = 60
	base := crashed(t, n)
	names, err := base.List()
	if err != nil {
		t.Fatal(err)
	}
	trials := 3000
	if testing.Short() {
		trials = 300
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range trials {
		mem := base.Clone()
		name := names[random.IntN(len(names))]
		size := len(mem.Bytes(name))
		if size == 0 {
			continue
		}
		what := ""
		if random.IntN(4) > 0 {
			bit := random.Int64N(int64(size) * 8)
			mem.Flip(name, bit)
			what = fmt.Sprintf("bit %d of %s is flipped", bit, name)
		} else {
			cut := random.Int64N(int64(size))
			mem.Cut(name, cut)
			what = fmt.Sprintf("%s is cut at %d of %d", name, cut, size)
		}
		count, refused := served(t, mem, n)
		switch {
		case refused != nil && !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(refused.Error(), n) }):
			t.Errorf("%s: the error names no file: %v", what, refused)
		case refused == nil && count < n-1:
			t.Errorf("%s: %d of %d messages are served, and no error", what, count, n)
		}
	}
}

// FuzzRecover opens an engine on a log in which any bytes stand anywhere: it
// serves the first messages, or refuses; it never serves anything else.
func FuzzRecover(f *testing.F) {
	const n = 40
	base := crashed(f, n)
	names, err := base.List()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(0), uint16(100), []byte{0xff})
	f.Add(uint8(1), uint16(0), []byte("orbit"))
	f.Fuzz(func(t *testing.T, file uint8, at uint16, data []byte) {
		mem := base.Clone()
		name := names[int(file)%len(names)]
		b := slices.Clone(mem.Bytes(name))
		if len(b) == 0 {
			return
		}
		copy(b[int(at)%len(b):], data)
		mem.Put(name, b)
		_, _ = served(t, mem, n)
	})
}
