package local

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// checked checks a folder, which must not change, and returns what its messages
// hold.
func checked(t *testing.T, mem *vfs.Mem) (*Report, []string) {
	t.Helper()
	before := contents(mem)
	var texts []string
	r, err := check(mem, nil, func(m *message.Message) error {
		texts = append(texts, string(m.Data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if contents(mem) != before {
		t.Error("the folder was changed")
	}
	return r, texts
}

func contents(mem *vfs.Mem) string {
	names, _ := mem.List()
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s %x\n", name, mem.Bytes(name))
	}
	return b.String()
}

func TestCheckOfASoundFolder(t *testing.T) {
	const n = 60
	mem := crashed(t, n)
	r, texts := checked(t, mem)
	if !r.Sound() || r.Messages != n || len(texts) != n || texts[n-1] != fmt.Sprint(n-1) || r.Channels != 1 || len(r.Mended) > 0 || r.Segments < 2 {
		t.Errorf("got %+v, %d texts", r, len(texts))
	}
	if _, err := Check(filepath.Join(t.TempDir(), "none"), nil, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	e := open(t, Options{FS: mem})
	if _, err := check(mem, nil, nil); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("an open engine: %v", err)
	}
	_ = e.Close(t.Context())
}

// Whatever damage makes an engine refuse a folder, Check names it; where an engine
// serves all, there is none. All that is intact is found, also behind the damage.
func TestCheckOfADamagedFolder(t *testing.T) {
	const n = 60
	base := crashed(t, n)
	names, _ := base.List()
	random := rand.New(rand.NewPCG(2, 2))
	behind := 0
	for range 500 {
		mem := base.Clone()
		name := names[random.IntN(len(names))]
		size := int64(len(mem.Bytes(name)))
		if size == 0 {
			continue
		}
		what := ""
		if random.IntN(4) > 0 {
			bit := random.Int64N(size * 8)
			mem.Flip(name, bit)
			what = fmt.Sprintf("bit %d of %s is flipped", bit, name)
		} else {
			cut := random.Int64N(size)
			mem.Cut(name, cut)
			what = fmt.Sprintf("%s is cut at %d of %d", name, cut, size)
		}
		r, texts := checked(t, mem)
		_, refused := served(t, mem.Clone(), n)
		switch {
		case r.Refused == nil && refused != nil, r.Sound() && len(texts) < n-1:
			t.Errorf("%s: found sound, with %d messages; the engine: %v", what, len(texts), refused)
		case r.Refused != nil && !strings.Contains(r.Refused.Error(), name):
			t.Errorf("%s: %v", what, r.Refused)
		}
		i := slices.IndexFunc(texts, func(s string) bool { return s == fmt.Sprint(n-1) })
		if !r.Sound() && i >= 0 && len(texts) < n {
			behind++
		}
		for i := 1; i < len(texts); i++ {
			var a, b int
			if _, err := fmt.Sscan(texts[i-1]+" "+texts[i], &a, &b); err != nil || a >= b {
				t.Errorf("%s: %q comes before %q", what, texts[i-1], texts[i])
			}
		}
	}
	if behind == 0 {
		t.Error("nothing behind damage was ever found")
	}
}

// An index and one of two checkpoints are made again: that is told, and is no
// damage.
func TestCheckOfWhatIsMended(t *testing.T) {
	const n = 60
	base := vfs.NewMem()
	e := open(t, Options{FS: base, SegmentSize: 4 << 10, checkpointEvery: 1})
	for i := range n {
		publish(t, e, "/a/b", fmt.Sprint(i))
		e.upkeep(t)
	}
	for i := 0; i < 1000 && (base.Bytes("00000001.idx") == nil || base.Bytes("checkpoint.b") == nil); i++ { // made behind our back
		e.upkeep(t)
		time.Sleep(time.Millisecond)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"00000001.idx", "checkpoint.a", "checkpoint.b"} {
		mem := base.Clone()
		mem.Flip(name, 200)
		r, texts := checked(t, mem)
		if !r.Sound() || len(r.Mended) != 1 || r.Mended[0].File != name || len(texts) != n {
			t.Errorf("%s: %+v, %d messages", name, r, len(texts))
		}
		if count, err := served(t, mem, n); err != nil || count != n {
			t.Errorf("%s: %d are served, %v", name, count, err)
		}
	}
}
