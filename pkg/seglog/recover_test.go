package seglog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/seglog"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// batches returns where the batches of a segment begin, and where the last ends.
func batches(seg []byte) (at []int) {
	for pos := int(binary.LittleEndian.Uint32(seg[12:])); ; {
		at = append(at, pos)
		if pos+56 > len(seg) || string(seg[pos:pos+4]) != "OBAT" {
			return at
		}
		pos += 56 + (int(binary.LittleEndian.Uint32(seg[pos+12:]))+7)/8*8
	}
}

// corrupted opens the folder, which must be refused with an error that names the
// file, and must stay as it is.
func (r *rig) corrupted(mem *vfs.Mem, file, what string) {
	r.Helper()
	before := folder(r, mem)
	r.fs = mem
	err := r.tryOpen()
	damage, ok := errors.AsType[*seglog.CorruptError](err)
	switch {
	case err == nil:
		r.Errorf("%s: it is served", what)
		r.log.Close()
	case !ok || damage.File != file:
		r.Errorf("%s: %v; the file is %s", what, err, file)
	case folder(r, mem) != before:
		r.Errorf("%s: the folder was changed", what)
	}
	if lock, err := mem.Lock(); err != nil {
		r.Errorf("%s: the lock is still held", what)
	} else {
		lock.Close()
	}
}

// folder returns the names and contents of all files.
func folder(t testing.TB, mem *vfs.Mem) string {
	t.Helper()
	names, err := mem.List()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s %q\n", name, mem.Bytes(name))
	}
	return b.String()
}

// served reopens the log on a folder of which nothing may be missing but the
// newest lost records of /a.
func (r *rig) served(mem *vfs.Mem, what string, lost int) {
	r.Helper()
	r.fs = mem
	if err := r.tryOpen(); err != nil {
		r.Errorf("%s: %v", what, err)
		return
	}
	got, _, err := read(r.log, "/a", 0)
	if want := r.stored["/a"][:len(r.stored["/a"])-lost]; err != nil || !slices.Equal(got, want) {
		r.Errorf("%s: got %v, %v; want %v", what, got, err, want)
	}
	r.close()
}

// small is a log of one segment with a few batches, killed.
func small(r *rig) *vfs.Mem {
	for range 5 {
		r.append("/a", "/a", "/a")
	}
	r.settle()
	return r.fs.(*vfs.Mem).Clone()
}

func TestTornTail(t *testing.T) {
	const name = "00000001.seg"
	for what, tear := range map[string]func(batch []byte){
		"nothing of it":           func(b []byte) { clear(b) },
		"the first byte":          func(b []byte) { clear(b[1:]) },
		"the header":              func(b []byte) { clear(b[56:]) },
		"all but the header":      func(b []byte) { clear(b[:56]) },
		"all but a byte":          func(b []byte) { b[60] = 0xff },
		"all but the last byte":   func(b []byte) { b[len(b)-8] ^= 1 },
		"something else":          func(b []byte) { copy(b, bytes.Repeat([]byte("?"), len(b))) },
		"another one's beginning": func(b []byte) { copy(b, "OBATOBATOBATOBATOBATOBATOBATOBAT") },
	} {
		t.Run(what, func(t *testing.T) {
			withRig(t, func(r *rig) {
				mem := small(r)
				seg := mem.Bytes(name)
				at := batches(seg)
				tear(seg[at[4]:at[5]])
				mem.Put(name, seg)
				ceiling := r.log.Ceiling()
				r.served(mem, what, 3)
				if c := r.log.Ceiling(); what != "nothing of it" && c <= ceiling+1<<19 {
					t.Errorf("the offsets of the tail may be given again: %d, was %d", c, ceiling)
				}
				r.open() // what the first start made of it stands
				r.append("/b")
				r.check("/b", 0)
			})
		})
	}
}

// Whatever sectors of the last write a power cut keeps: the batch is there as a
// whole or not at all, and all before it is.
func TestPowerCutWhileABatchIsWritten(t *testing.T) {
	withFaults(t, func(r *rig, mem *vfs.Mem, tr *trap) {
		r.opts.SegmentSize = 64 << 10
		r.append("/a")
		tr.set(func(op vfs.Op) (int, error) {
			if op.Kind == "sync" {
				return 0, vfs.ErrPowerOff
			}
			return 0, nil
		})
		if err := r.try(false, slices.Repeat([]string{"/a"}, 25)...); !errors.Is(err, vfs.ErrPowerOff) {
			t.Fatal(err)
		}
		whole := 0
		for seed := range uint64(100) {
			after := mem.Crash(rand.New(rand.NewPCG(seed, 0)), 0.8)
			r.fs = after
			r.do(r.tryOpen())
			got, _, err := read(r.log, "/a", 0)
			r.do(err)
			switch len(got) {
			case 1:
			case 26:
				whole++
			default:
				t.Errorf("seed %d: there are %d records", seed, len(got))
			}
			r.close()
		}
		if whole == 0 || whole == 100 {
			t.Errorf("the batch was kept %d times of 100", whole)
		}
	})
}

func TestDamageOfSyncedBatches(t *testing.T) {
	const name = "00000001.seg"
	withRig(t, func(r *rig) {
		base := small(r)
		at := batches(base.Bytes(name))
		for i, pos := range at[:4] {
			for _, off := range []int{0, 5, 9, 13, 30, 56, 100} {
				mem := base.Clone()
				mem.Flip(name, int64(pos+off)*8)
				r.corrupted(mem, name, fmt.Sprintf("batch %d, byte %d", i, off))
			}
		}
		mem := base.Clone()
		mem.Flip(name, 20*8)
		r.corrupted(mem, name, "the header")
		mem = base.Clone()
		mem.Cut(name, int64(at[5]))
		r.corrupted(mem, name, "cut behind its end")
	})
}

// A clean stop vouches for the last batch, too.
func TestDamageAfterACleanStop(t *testing.T) {
	const name = "00000001.seg"
	withRig(t, func(r *rig) {
		small(r)
		r.do(r.log.Final())
		mem := r.fs.(*vfs.Mem).Clone()
		mem.Flip(name, int64(batches(mem.Bytes(name))[4])*8)
		r.corrupted(mem, name, "the last batch but for the final one")
	})
}

// So does a checkpoint, for what it was taken after.
func TestDamageBeforeACheckpoint(t *testing.T) {
	const name = "00000001.seg"
	withRig(t, func(r *rig) {
		small(r)
		r.checkpoint()
		mem := r.fs.(*vfs.Mem).Clone()
		mem.Flip(name, int64(batches(mem.Bytes(name))[4])*8)
		r.corrupted(mem, name, "the last batch before a checkpoint")
	})
}

func TestDamageOfOlderSegments(t *testing.T) {
	withRig(t, func(r *rig) {
		r.fill(3, "/a")
		base := r.fs.(*vfs.Mem).Clone()
		for _, name := range r.files(".seg")[:3] {
			size := len(base.Bytes(name))
			for _, off := range []int{0, 40, 600, size / 2} {
				mem := base.Clone()
				mem.Flip(name, int64(off)*8)
				r.corrupted(mem, name, fmt.Sprintf("byte %d of %s", off, name))
			}
			mem := base.Clone()
			mem.Cut(name, int64(size/2))
			r.corrupted(mem, name, name+" is cut")
			r.do(mem.Remove(name))
			if name != "00000001.seg" {
				r.corrupted(mem, name, name+" is missing")
			}
		}
	})
}

// What was synced long ago is checked when it is read.
func TestDamageThatIsFoundOnReading(t *testing.T) {
	withRig(t, func(r *rig) {
		r.opts.VerifyBytes = 1
		r.fill(4, "/a")
		r.checkpoint() // else all is replayed, and checked by that
		mem := r.fs.(*vfs.Mem).Clone()
		at := batches(mem.Bytes("00000001.seg"))[2]
		mem.Flip("00000001.seg", int64(at+56+41)*8)
		r.reopen(mem)
		_, _, err := read(r.log, "/a", 0)
		damage, ok := errors.AsType[*seglog.CorruptError](err)
		if !ok || damage.File != "00000001.seg" || damage.At != int64(at+56) {
			t.Errorf("got %v", err)
		}
		if got, _, err := read(r.log, "/a", 20); err != nil || len(got) == 0 {
			t.Errorf("what stands behind the damage: %v, %v", got, err)
		}
	})
}

// A file that became shorter under the log, or a length that is damaged, is
// damage like any other.
func TestDamageUnderTheLog(t *testing.T) {
	for what, damage := range map[string]func(mem *vfs.Mem, name string, at int){
		"cut in the record":      func(mem *vfs.Mem, name string, at int) { mem.Cut(name, int64(at+10)) },
		"cut before the record":  func(mem *vfs.Mem, name string, at int) { mem.Cut(name, int64(at)) },
		"cut in front":           func(mem *vfs.Mem, name string, at int) { mem.Cut(name, 100) },
		"a length beyond limits": func(mem *vfs.Mem, name string, at int) { mem.Flip(name, int64(at+4)*8+31) },
		"a length beyond all":    func(mem *vfs.Mem, name string, at int) { mem.Flip(name, int64(at+4)*8+25) },
		"a length of nothing":    func(mem *vfs.Mem, name string, at int) { mem.Flip(name, int64(at+4)*8+5) },
		"the offset":             func(mem *vfs.Mem, name string, at int) { mem.Flip(name, int64(at+16)*8) },
	} {
		t.Run(what, func(t *testing.T) {
			withRig(t, func(r *rig) {
				mem := r.fs.(*vfs.Mem)
				small(r)
				pos := batches(mem.Bytes("00000001.seg"))[1] + 56
				damage(mem, "00000001.seg", pos)
				var corrupt *seglog.CorruptError
				if _, _, err := read(r.log, "/a", 0); !errors.As(err, &corrupt) || corrupt.File != "00000001.seg" {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// Without an index, or with one that is damaged or of another segment, it is made
// again.
func TestIndexIsDerived(t *testing.T) {
	withRig(t, func(r *rig) {
		r.fill(3, "/a", "/b")
		base := r.fs.(*vfs.Mem).Clone()
		good := base.Bytes("00000001.idx")
		for what, change := range map[string]func(mem *vfs.Mem){
			"lost":       func(mem *vfs.Mem) { r.do(mem.Remove("00000001.idx")) },
			"damaged":    func(mem *vfs.Mem) { mem.Flip("00000001.idx", 1000) },
			"cut":        func(mem *vfs.Mem) { mem.Cut("00000001.idx", 100) },
			"empty":      func(mem *vfs.Mem) { mem.Cut("00000001.idx", 0) },
			"another's":  func(mem *vfs.Mem) { mem.Put("00000001.idx", mem.Bytes("00000002.idx")) },
			"unfinished": func(mem *vfs.Mem) { r.do(mem.Rename("00000001.idx", "00000001.idx.tmp")) },
		} {
			mem := base.Clone()
			change(mem)
			r.fs = mem
			r.open()
			r.check("/a", 0)
			r.check("/b", 0)
			r.settle()
			if !bytes.Equal(mem.Bytes("00000001.idx"), good) {
				t.Errorf("%s: it was not made again", what)
			}
			r.close()
		}
		r.fs = base
		r.open()
	})
}
