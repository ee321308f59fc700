package seglog_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

func TestAppendAndRead(t *testing.T) {
	withRig(t, func(r *rig) {
		r.append("/a", "/b", "/a")
		r.append("/b")
		r.append("") // in no stream: it is replayed, and not read
		r.check("/a", 0)
		r.check("/b", 0)
		if got, _, _ := read(r.log, "/a", 2); !slices.Equal(got, []string{"/a=4"}) {
			t.Errorf("after 2: %v", got)
		}
		if last := r.log.Stream("/b").Last(); last != 5 {
			t.Errorf("the last of /b is %d", last)
		}
		if floor, count := r.log.Stream("/b").Extent(); floor != 0 || count != 2 {
			t.Errorf("/b has %d after %d", count, floor)
		}
		r.reopen(r.fs)
		r.check("/a", 0)
		r.check("/b", 0)
		if want := " /a=2 /b=3 /a=4 /b=5 =6"; r.state != want {
			t.Errorf("replayed %q, want %q", r.state, want)
		}
	})
}

func TestRealFiles(t *testing.T) {
	dir, err := vfs.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	withRigOn(t, dir, func(r *rig) {
		r.fill(3, "/a", "/b")
		r.checkpoint()
		r.append("/a")
		r.do(r.log.Final())
		r.reopen(dir)
		r.check("/a", 0)
		r.check("/b", 0)
		r.append("/b")
		r.reopen(dir)
		r.check("/b", 0)
		r.append("/a", "/b")
		r.do(r.log.Stream("/a").Trim(seglog.Limits{Count: 1}))
		r.do(r.log.Stream("/b").Trim(seglog.Limits{Count: 1}))
		r.fill(1, "")
		r.collect()
		r.check("/a", len(r.stored["/a"])-1)
		r.check("/b", len(r.stored["/b"])-1)
		if n := r.count(".seg"); n > 3 {
			t.Errorf("%d segments are left: %v", n, r.files(".seg"))
		}
	})
}

// Every offset, limit and direction gives what a plain list would.
func TestAfterAndBefore(t *testing.T) {
	withRig(t, func(r *rig) {
		r.fill(3, "/a", "/b")
		r.append("/a")
		r.do(r.log.Stream("/a").Trim(seglog.Limits{Count: len(r.stored["/a"]) - 5}))
		s := r.log.Stream("/a")
		var all []uint64
		for _, text := range r.stored["/a"][5:] {
			var offset uint64
			fmt.Sscanf(text, "/a=%d", &offset)
			all = append(all, offset)
		}
		for at := uint64(0); at <= r.offset+1; at++ {
			for _, limit := range []int{1, 2, 7, 1000} {
				var pin seglog.Pin
				from, _ := slices.BinarySearch(all, at+1)
				got, _, err := s.After(at, math.MaxUint64, limit, &pin)
				compare(t, fmt.Sprintf("%d after %d", limit, at), got, err, all[from:min(len(all), from+limit)])
				through, _ := slices.BinarySearch(all, at+4)
				got, _, err = s.After(at, at+3, limit, &pin)
				compare(t, fmt.Sprintf("%d after %d, through %d", limit, at, at+3), got, err, all[from:min(through, from+limit)])
				to, _ := slices.BinarySearch(all, at)
				if at > 0 {
					got, err = s.Before(at, limit, &pin)
					compare(t, fmt.Sprintf("%d before %d", limit, at), got, err, all[max(0, to-limit):to])
				}
				pin.Release()
			}
		}
	})
}

func compare(t *testing.T, what string, got []seglog.Entry, err error, want []uint64) {
	t.Helper()
	offsets := make([]uint64, 0, len(got))
	for _, e := range got {
		offsets = append(offsets, e.Offset)
	}
	if err != nil || !slices.Equal(offsets, want) {
		t.Errorf("%s: got %v, %v; want %v", what, offsets, err, want)
	}
}

func TestForget(t *testing.T) {
	withRig(t, func(r *rig) {
		r.append("/a")
		if r.log.Forget("/a") {
			t.Error("a stream with records was forgotten")
		}
		r.do(r.log.Stream("/a").Trim(seglog.Limits{Before: r.time + 1}))
		if !r.log.Forget("/a") || len(r.log.Streams()) > 0 {
			t.Error("a stream without records was not forgotten")
		}
		if !r.log.Forget("/a") {
			t.Error("one that is not there was not forgotten")
		}
	})
}

// A batch is not larger than what a reader accepts.
func TestLargestBatch(t *testing.T) {
	if testing.Short() {
		t.Skip("it is large")
	}
	withRig(t, func(r *rig) {
		r.append("/a")
		add := func(b *seglog.Batch, size int) {
			b.Add(nil, &seglog.Record{Type: 1}, func(to []byte) []byte { return append(to, make([]byte, size)...) })
		}
		const record = 40
		var most, over seglog.Batch
		add(&most, seglog.MaxBatch-record)
		add(&over, seglog.MaxBatch-record+1)
		if err := r.log.Append(&over, false); err == nil || r.log.Failed() != nil {
			t.Errorf("one byte too much: %v; then %v", err, r.log.Failed())
		}
		r.do(r.log.Append(&most, false))
		r.append("/a")
		r.reopen(r.fs)
		r.check("/a", 0)
		if want := len(" /a=2 ") + seglog.MaxBatch - record + len(" /a=3"); len(r.state) != want {
			t.Errorf("replayed %d bytes, want %d", len(r.state), want)
		}
	})
}

func TestEmptyBatch(t *testing.T) {
	withRig(t, func(r *rig) {
		r.append("/a")
		r.do(r.log.Append(&seglog.Batch{Ceiling: 4711}, false))
		r.do(r.log.Append(&seglog.Batch{}, true))
		r.do(r.log.Final())
		r.reopen(r.fs)
		r.check("/a", 0)
		if c := r.log.Ceiling(); c != 4712 { // the run takes one
			t.Errorf("the ceiling is %d", c)
		}
	})
}

func TestLongestKey(t *testing.T) {
	withRig(t, func(r *rig) {
		key := strings.Repeat("k", seglog.MaxKey)
		r.append(key)
		r.reopen(r.fs)
		r.check(key, 0)
		if err := r.try(false, key+"k"); err == nil || r.log.Failed() != nil {
			t.Errorf("a key that is too long: %v; then %v", err, r.log.Failed())
		}
	})
}

// Segments grow with the log, so that a small one stays small.
func TestSegmentSizes(t *testing.T) {
	mem := vfs.NewMem()
	withRigOn(t, mem, func(r *rig) {
		r.opts.SegmentSize = 6 << 20
		r.reopen(mem)
		sizes := []int{len(mem.Bytes("00000002.seg"))}
		var b seglog.Batch
		for len(r.files(".seg")) < 4 {
			b.Reset()
			b.Add(nil, &seglog.Record{Type: 1}, func(to []byte) []byte { return append(to, make([]byte, 1<<20)...) })
			r.do(r.log.Append(&b, false))
			r.settle()
			if names := r.files(".seg"); len(names) > len(sizes)+1 {
				sizes = append(sizes, len(mem.Bytes(names[len(names)-1])))
			}
		}
		if want := []int{4 << 20, 6 << 20, 6 << 20}; !slices.Equal(sizes, want) {
			t.Errorf("the segments have %v bytes, want %v", sizes, want)
		}
	})
}

func TestOptions(t *testing.T) {
	for _, opts := range []seglog.Options{{}, {FS: vfs.NewMem()}, {Epoch: 1}} {
		if _, err := seglog.Open(opts); err == nil {
			t.Errorf("%+v was accepted", opts)
		}
	}
}

func TestCloseTwice(t *testing.T) {
	log, err := seglog.Open(seglog.Options{FS: vfs.NewMem(), Epoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	}
}
