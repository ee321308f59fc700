package seglog_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// keep trims a stream to its newest n records.
func (r *rig) keep(key string, n int) {
	r.Helper()
	r.do(r.log.Stream(key).Trim(seglog.Limits{Count: n}))
}

// Limits leave exactly what they cover, whether a stream's records are in memory
// or in index files.
func TestTrim(t *testing.T) {
	for _, reopened := range []bool{false, true} {
		withRig(t, func(r *rig) {
			r.fill(3, "/a", "/b")
			r.append("/a")
			total := len(r.stored["/a"])
			if reopened {
				r.reopen(r.fs)
			}
			trim := func(what string, lim seglog.Limits, want int) {
				r.do(r.log.Stream("/a").Trim(lim))
				r.check("/a", total-want)
				if _, count := r.log.Stream("/a").Extent(); count != want {
					t.Errorf("%s: it counts %d, want %d", what, count, want)
				}
			}
			trim("no limits", seglog.Limits{}, total)
			trim("all of them", seglog.Limits{Count: total, Bytes: int64(total) * 100, Before: 1}, total)
			trim("by count", seglog.Limits{Count: total - 1}, total-1)
			trim("by bytes", seglog.Limits{Bytes: int64(total-3)*100 - 1}, total-4)
			// The nth record of /a has the time 2n-1.
			trim("by time", seglog.Limits{Before: int64(2*7 - 1)}, total-6)
			trim("by time, just behind", seglog.Limits{Before: int64(2*7 - 1 + 1)}, total-7)
			trim("whole segments by count", seglog.Limits{Count: 5}, 5)
			trim("the strictest of all", seglog.Limits{Count: 4, Bytes: 399, Before: int64(2*total - 5)}, 3)
			trim("everything", seglog.Limits{Before: math.MaxInt64}, 0)
			if last := r.log.Stream("/a").Last(); fmt.Sprintf("/a=%d", last) != r.stored["/a"][total-1] {
				t.Errorf("its last is %d", last)
			}
			r.check("/b", 0)
			r.append("/a")
			r.check("/a", total)
		})
	}
}

// Trimming in random steps, with restarts in between, never removes what the
// limits cover and always removes the rest.
func TestTrimAtRandom(t *testing.T) {
	for seed := range uint64(20) {
		withRig(t, func(r *rig) {
			random := rand.New(rand.NewPCG(seed, 1))
			least := 1000
			for range 40 {
				for range random.IntN(12) {
					r.append([]string{"/a", "/b", ""}[random.IntN(3)])
				}
				least = 1 + random.IntN(20)
				r.keep("/a", least)
				switch random.IntN(4) {
				case 0:
					r.collect()
				case 1:
					r.checkpoint()
				case 2:
					r.reopen(r.fs)
					r.keep("/a", least)
				}
				r.check("/a", max(0, len(r.stored["/a"])-least, r.gone("/a")))
				r.check("/b", 0)
			}
		})
	}
}

// gone returns how many of a stream's records are at or below its floor.
func (r *rig) gone(key string) int {
	floor, _ := r.log.Stream(key).Extent()
	n := 0
	for _, text := range r.stored[key] {
		var offset uint64
		fmt.Sscanf(strings.TrimPrefix(text, key+"="), "%d", &offset)
		if offset <= floor {
			n++
		}
	}
	return n
}

func TestUnlink(t *testing.T) {
	withFaults(t, func(r *rig, mem *vfs.Mem, tr *trap) {
		r.fill(4, "/a")
		r.keep("/a", 3)
		r.checkpoint()
		r.do(r.log.Collect())
		r.settle()
		if n := r.count(".seg"); n != 5 {
			t.Fatalf("one checkpoint, and %d segments of 5 are left", n)
		}
		r.checkpoint()
		tr.set(nil)
		r.do(r.log.Collect())
		r.settle()
		if n := r.count(".seg"); n > 2 {
			t.Fatalf("%d segments are left", n)
		}
		if n := r.count(".idx"); n > 1 {
			t.Errorf("%d indexes are left", n)
		}
		ops := tr.list()
		sync := slices.IndexFunc(ops, func(op string) bool { return strings.HasPrefix(op, "sync ") })
		remove := slices.IndexFunc(ops, func(op string) bool { return strings.HasPrefix(op, "remove ") })
		if sync < 0 || remove < sync {
			t.Errorf("it was not durable that they may be removed: %v", ops)
		}
		r.check("/a", len(r.stored["/a"])-3)
		r.reopen(powerCut(mem))
		r.check("/a", r.gone("/a"))
	})
}

// One that is missing without the log having said so is damage.
func TestRemovalThatNobodyAllowed(t *testing.T) {
	withRig(t, func(r *rig) {
		r.fill(4, "/a")
		r.keep("/a", 3)
		r.checkpoint()
		r.checkpoint()
		base := r.fs.(*vfs.Mem).Clone()
		for n := 2; n <= 4; n++ {
			mem := base.Clone()
			name := fmt.Sprintf("%08d.seg", n)
			r.do(mem.Remove(name))
			r.corrupted(mem, name, name+" is missing")
		}
		r.fs = base
		r.open()
	})
}

// A pin keeps what was found readable, though it is removed or rewritten.
func TestPin(t *testing.T) {
	withRig(t, func(r *rig) {
		sparse(r, 3)
		var pin seglog.Pin
		defer pin.Release()
		entries, _, err := r.log.Stream("/kept").After(0, math.MaxUint64, 10, &pin)
		r.do(err)
		r.collect()
		r.do(r.log.Stream("/kept").Trim(seglog.Limits{Before: math.MaxInt64}))
		r.collect()
		r.collect()
		if names := r.files(".seg"); slices.Contains(names, "00000001.seg") {
			t.Fatalf("nothing was removed: %v", names)
		}
		n := 0
		r.do(r.log.Records(entries, func(int) string { return "/kept" }, func(_ int, rec *seglog.Record) bool { n++; return true }))
		if n != 3 {
			t.Errorf("%d records were read", n)
		}
	})
}

// Readers see a stream without holes while it grows, is trimmed, and its segments
// are sealed, rewritten and removed.
func TestReadingMeanwhile(t *testing.T) {
	dir, err := vfs.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log, err := seglog.Open(seglog.Options{FS: dir, Epoch: 1, SegmentSize: 4 << 10, MinFree: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	var readers sync.WaitGroup
	done := make(chan struct{})
	for _, key := range []string{"/a", "/kept"} {
		readers.Go(func() { readOn(t, log, key, done) })
	}
	prev := map[string]uint64{}
	for offset := uint64(2); offset < 1500; offset++ {
		key := "/a"
		if offset%25 == 0 {
			key = "/kept"
		}
		var b seglog.Batch
		rec := seglog.Record{Offset: offset, Prev: prev[key], Time: int64(offset), Size: 100}
		b.Add(log.Stream(key), &rec, func(to []byte) []byte { return fmt.Appendf(to, "%d %d %0100d", rec.Prev, offset, 0) })
		b.Ceiling = offset
		if err := log.Append(&b, false); err != nil {
			t.Fatal(err)
		}
		prev[key] = offset
		switch offset % 50 {
		case 10, 20:
			err = log.Checkpoint(nil)()
		case 30:
			err = log.Stream("/a").Trim(seglog.Limits{Count: 60})
		case 40:
			err = log.Collect()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	readers.Wait()
}

// readOn reads a stream again and again, from random places.
func readOn(t *testing.T, log *seglog.Log, key string, done chan struct{}) {
	after := uint64(0)
	for n := 0; ; n++ {
		select {
		case <-done:
			if n == 0 {
				t.Error("nothing was read meanwhile")
			}
			return
		default:
		}
		var pin seglog.Pin
		entries, floor, err := log.Stream(key).After(after, math.MaxUint64, 100, &pin)
		if err != nil {
			t.Error(err)
		}
		last := max(floor, after)
		err = log.Records(entries, func(int) string { return key }, func(_ int, rec *seglog.Record) bool {
			if rec.Prev > last {
				t.Errorf("%s: after %d (the floor is %d) comes %d, whose one before is %d", key, last, floor, rec.Offset, rec.Prev)
			}
			if !strings.HasPrefix(string(rec.Body), fmt.Sprintf("%d %d ", rec.Prev, rec.Offset)) {
				t.Errorf("%s: record %d is %q", key, rec.Offset, rec.Body)
			}
			last = rec.Offset
			return true
		})
		pin.Release()
		if err != nil {
			t.Errorf("read %s after %d: %v", key, after, err)
		}
		if after = last; len(entries) == 0 || n%7 == 0 {
			after = 0
		}
	}
}

// A stream that was forgotten and comes back has nothing of what it had, whatever
// is rewritten, and keeps what it gets.
func TestForgottenStreamComesBack(t *testing.T) {
	withRig(t, func(r *rig) {
		r.append("/kept", "/a", "/a")
		r.append("/b", "/b", "/b")
		r.keep("/b", 1)
		r.do(r.log.Stream("/a").Trim(seglog.Limits{Before: math.MaxInt64}))
		if !r.log.Forget("/a") {
			t.Fatal("it was not forgotten")
		}
		gone := len(r.stored["/a"])
		r.append("/a", "/b") // still in the first segment, which is rewritten
		r.fill(2, "/b")
		r.append("/b")
		r.keep("/b", 1)
		before := len(r.fs.(*vfs.Mem).Bytes("00000001.seg"))
		for range 3 {
			r.collect()
			r.check("/a", gone)
		}
		if after := len(r.fs.(*vfs.Mem).Bytes("00000001.seg")); after >= before {
			t.Fatalf("it was not rewritten: %d bytes, %d before", after, before)
		}
		r.check("/kept", 0)
		r.append("/a")
		r.check("/a", gone)
		r.reopen(r.fs)
		r.check("/a", gone)
		r.check("/kept", 0)
	})
}
