package seglog_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// sparse makes segments of which the older ones hold one record of /kept and many
// of /a that were trimmed.
func sparse(r *rig, n int) {
	for range n {
		r.append("/kept")
		r.fill(1, "/a")
	}
	r.append("/a")
	r.keep("/a", 1)
}

func TestRewrite(t *testing.T) {
	withRig(t, func(r *rig) {
		sparse(r, 5)
		r.collect()
		mem := r.fs.(*vfs.Mem)
		if n, want := len(mem.Bytes("00000001.seg")), 2048; n > want || r.count(".seg") != 2 {
			t.Errorf("the first segment has %d bytes, and there are %v", n, r.files(".seg"))
		}
		r.check("/kept", 0)
		r.check("/a", len(r.stored["/a"])-1)
		r.reopen(powerCut(mem))
		r.check("/kept", 0)
		r.keep("/kept", 2)
		r.append("/kept")
		r.check("/kept", 3)
	})
}

// A rewritten segment leaves out the beginning of a stream, of which an older one
// that was not rewritten still holds more. After a restart, which knows no limits,
// that must not look like a stream without a hole.
func TestRewriteTearsNoHole(t *testing.T) {
	withRig(t, func(r *rig) {
		r.append("/a") // one, in a segment that is otherwise full of what is kept
		r.fill(1, "/kept")
		r.append("/kept")
		r.fill(1, "/a") // a segment in which nearly nothing is wanted soon
		for range 3 {
			r.append("/a")
		}
		r.keep("/a", 4)
		r.collect()
		r.reopen(r.fs)
		gone := r.gone("/a")
		if gone < 2 {
			t.Fatalf("%d of /a are gone; the second segment was not rewritten", gone)
		}
		r.check("/a", gone)
		r.check("/kept", 0)
		if got, _, err := read(r.log, "/a", 0); err != nil || !slices.Equal(got, r.stored["/a"][gone:]) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// Trimming while a segment is rewritten leaves no hole either.
func TestTrimDuringRewrite(t *testing.T) {
	withFaults(t, func(r *rig, mem *vfs.Mem, tr *trap) {
		// A record of /b in every segment; the first ones are read before the trim.
		for range 4 {
			r.append("/b")
			r.append("/kept")
			r.fill(1, "/a")
		}
		r.keep("/a", 1)
		r.checkpoint()
		r.checkpoint()
		reads := map[string]bool{}
		tr.set(func(op vfs.Op) (int, error) {
			if op.Kind == "read" && strings.HasSuffix(op.Name, ".seg") && !reads[op.Name] {
				reads[op.Name] = true
				if len(reads) == 3 { // whole parts go: no index is read for it
					r.keep("/b", 1)
				}
			}
			return 0, nil
		})
		r.do(r.log.Collect())
		r.settle()
		tr.set(nil)
		if len(reads) < 4 {
			t.Fatalf("only these were rewritten: %v", reads)
		}
		r.check("/b", 3)
		r.reopen(mem)
		r.check("/b", r.gone("/b"))
		r.check("/kept", 0)
	})
}

// Entries hold times and offsets in 32 bits each, so that what lies farther apart
// is not rewritten into one segment.
func TestRewriteOfManyYears(t *testing.T) {
	const day = 24 * 60 * 60 * 1000
	withRig(t, func(r *rig) {
		for range 6 {
			r.append("/kept")
			r.fill(1, "/a")
			r.time += 20 * day
		}
		r.append("/a")
		r.keep("/a", 1)
		for range 4 {
			r.collect()
		}
		if n := r.count(".seg"); n < 3 || n > 5 {
			t.Errorf("there are %d segments: %v", n, r.files(".seg"))
		}
		for range 2 {
			r.do(r.log.Stream("/kept").Trim(seglog.Limits{Before: r.time - 65*day}))
			r.check("/kept", 3)
			r.reopen(r.fs)
		}
	})
}

func TestRewriteOfManyOffsets(t *testing.T) {
	withRig(t, func(r *rig) {
		for range 4 {
			r.append("/kept")
			r.fill(1, "/a")
			r.offset += 3 << 30
		}
		r.append("/a")
		r.keep("/a", 1)
		for range 3 {
			r.collect()
		}
		r.check("/kept", 0)
		r.reopen(r.fs)
		r.check("/kept", 0)
	})
}

// What is wanted of a segment is estimated by the number of its records, and may
// be nearly all of its bytes: memory and the new segment stay bounded.
func TestRewriteOfLargeRecords(t *testing.T) {
	withRig(t, func(r *rig) {
		large := func() {
			var b seglog.Batch
			r.offset++
			r.time++
			text := strings.Repeat("x", 3000)
			s := r.log.Stream("/large")
			b.Add(s, &seglog.Record{Offset: r.offset, Prev: r.prev["/large"], Time: r.time, Size: 3000}, func(to []byte) []byte { return append(to, text...) })
			b.Ceiling = r.offset
			r.do(r.log.Append(&b, false))
			r.prev["/large"] = r.offset
			r.stored["/large"] = append(r.stored["/large"], text)
		}
		for range 10 {
			large()
			r.append("/a", "/a", "/a", "/a", "/a")
			r.settle()
		}
		r.fill(1, "/a")
		r.keep("/a", 1)
		for range 12 {
			r.collect()
		}
		mem := r.fs.(*vfs.Mem)
		for _, name := range r.files(".seg") {
			if n := len(mem.Bytes(name)); n > 9<<10 {
				t.Errorf("%s has %d bytes", name, n)
			}
		}
		got, _, err := read(r.log, "/large", 0)
		if err != nil || len(got) != 10 {
			t.Errorf("%d large ones are left: %v", len(got), err)
		}
		r.reopen(mem)
		if got, _, err := read(r.log, "/large", 0); err != nil || len(got) != 10 {
			t.Errorf("%d large ones are left after a restart: %v", len(got), err)
		}
	})
}

// Many small segments, as restarts make them, become one.
func TestSmallSegmentsAreMerged(t *testing.T) {
	withRig(t, func(r *rig) {
		r.opts.SegmentSize = 64 << 10
		for range 20 {
			r.append("/a")
			r.reopen(r.fs)
		}
		r.append("/a")
		r.collect()
		r.collect()
		if n := r.count(".seg"); n > 3 {
			t.Errorf("there are %d segments", n)
		}
		r.check("/a", 0)
		r.reopen(r.fs)
		r.check("/a", 0)
		if runs := r.log.Runs(); len(runs) != 22 {
			t.Errorf("%d runs are known", len(runs))
		}
	})
}

// A new file that has its name, though it is not sure to keep it, or that cannot be read
// back, is what the next start may find. What is in memory knows the old one: this log
// rewrites nothing any more. All is there, for it and for the next.
func TestRewriteThatEndsHalfWay(t *testing.T) {
	for _, fails := range []string{"syncdir", "read"} {
		withFaults(t, func(r *rig, mem *vfs.Mem, tr *trap) {
			sparse(r, 5)
			named, failed, again := false, false, 0
			tr.set(func(op vfs.Op) (int, error) {
				if op.Kind == "rename" && strings.HasSuffix(op.Name, ".seg.tmp") { // spares have other names
					named = true
					if failed {
						again++
					}
				}
				if !named || failed || op.Kind != fails {
					return 0, nil
				}
				failed = true
				return 0, syscall.EIO
			})
			r.collect()
			if !failed {
				t.Fatalf("%s: nothing was rewritten", fails)
			}
			sparse(r, 5)
			for range 3 {
				r.collect()
			}
			if again > 0 {
				t.Errorf("%s: %d more segments were rewritten", fails, again)
			}
			for _, fs := range []vfs.FS{nil, powerCut(mem), mem.Clone()} {
				if fs != nil {
					r.reopen(fs)
				}
				r.check("/kept", 0)
				r.check("/a", r.gone("/a"))
			}
			before := r.count(".seg")
			r.keep("/a", 1) // a restart knows no limits
			for range 3 {
				r.collect()
			}
			if n := r.count(".seg"); n > before/2 {
				t.Errorf("%s: after a restart there are %d segments, and were %d", fails, n, before)
			}
		})
	}
}
