package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// A tight disk is one whose room is set by hand: it may say that little is free,
// or take nothing more at all.
type tightDisk struct {
	*vfs.Fault
	low  atomic.Bool // less than the reserve is free
	none atomic.Bool // what takes room fails
	kind string      // the operation that is the first to fail
}

// tight returns mem on a disk on which creating a file fails when there is no
// room, or only writing to it does.
func tight(mem *vfs.Mem, kind string) *tightDisk {
	d := &tightDisk{Fault: &vfs.Fault{FS: mem}, kind: kind}
	d.Hook = func(op vfs.Op) (int, error) {
		if d.none.Load() && (op.Kind == "write" || op.Kind == kind) {
			return 100, syscall.ENOSPC
		}
		return 0, nil
	}
	return d
}

func (d *tightDisk) Free() (uint64, error) {
	if d.low.Load() {
		return 1 << 30, nil
	}
	return d.Fault.Free()
}

const lotsFree = 1 << 39 // more than a low disk has, less than any other

func tightOptions(d *tightDisk) Options {
	rules := func(ch channel.Name) engine.Rule { return engine.Rule{Memory: ch == "/memory/a"} }
	return Options{FS: d, Rules: rules, SegmentSize: 8 << 10, MinFree: lotsFree, checkpointEvery: 16 << 10, Grace: -1}
}

// stored returns the folder of an engine that was killed after n publishes with
// keys and a session that had acknowledged them.
func stored(t *testing.T, n int) (mem *vfs.Mem, last message.Offset) {
	t.Helper()
	mem = vfs.NewMem()
	disk := tight(mem, "")
	e := open(t, tightOptions(disk))
	save(t, e, oneSubscription(engine.SessionKey{1}, time.Hour))
	for i := range n {
		if i == n-1 {
			moveTo(e, engine.SessionKey{1}, last)
		}
		r, err := engine.Publish(t.Context(), e, keyedMessage(i))
		if err != nil {
			t.Fatal(err)
		}
		last = r[0].Offset
	}
	disk.PowerOff()
	return mem.Crash(rand.New(rand.NewPCG(1, 1)), 0), last
}

func keyedMessage(i int) message.Message {
	return message.Message{Channel: "/a/b", Data: fmt.Append(nil, i), Key: fmt.Sprint("k", i)}
}

// serves checks that the first n messages can be read, and the session.
func serves(t *testing.T, e *Engine, n int, last message.Offset) {
	t.Helper()
	texts, gaps := readAll(t, e, "/a/b", message.Position{})
	if len(texts) != n || len(gaps) > 0 {
		t.Fatalf("%d messages can be read, %d were stored; gaps %v", len(texts), n, gaps)
	}
	b, err := e.History(t.Context(), "/a/b", 0, engine.Limit{Messages: 3})
	if err != nil || len(b.Messages) != 3 || string(b.Messages[2].Data) != texts[n-1] {
		t.Fatalf("history: %v, %v", b.Messages, err)
	}
	if at, ok := cursor(t, e, engine.SessionKey{1}); !ok || at >= last || at == 0 {
		t.Fatalf("the session is there: %v, at %d", ok, at)
	}
}

// refuses checks that nothing new is stored, and why.
func refuses(t *testing.T, e *Engine) {
	t.Helper()
	for _, ch := range []channel.Name{"/a/b", "/memory/a"} {
		_, err := engine.Publish(t.Context(), e, message.Message{Channel: ch, Data: []byte("new")})
		if message.CodeOf(err) != message.Unavailable || message.AsError(err).Text != "the disk is full" {
			t.Fatalf("publish on %s: %v", ch, err)
		}
	}
	if err := e.Status().Refusing; err == nil || errors.Unwrap(err) == nil {
		t.Fatalf("the status is %v", err)
	}
}

// A disk with less free space than min_free: what is there is served, cursors are
// stored, publishes are refused, until there is room.
func TestOpenBelowMinFree(t *testing.T) {
	const n = 60
	mem, last := stored(t, n)
	disk := tight(mem, "")
	disk.low.Store(true)
	for range 3 { // each start takes a little of the reserve
		e := open(t, tightOptions(disk))
		serves(t, e, n, last)
		refuses(t, e)
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	e := open(t, tightOptions(disk))
	save(t, e, oneSubscription(engine.SessionKey{2}, time.Hour))
	for i := range 500 { // more than one small segment
		moveTo(e, engine.SessionKey{2}, message.Offset(i+1))
		e.upkeep(t)
	}
	refuses(t, e)
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	e = open(t, tightOptions(disk))
	if at, ok := cursor(t, e, engine.SessionKey{2}); !ok || at != 500 {
		t.Fatalf("the session is there: %v, at %d", ok, at)
	}
	resumes(t, disk, e, n)
}

// A disk that takes nothing at all, whatever fails first: what is there is served,
// also over further starts, the last batch included, which nothing vouches for.
// What was learned in that state, by any of those starts, holds afterwards: when the
// engine starts again, and when there is room.
func TestOpenOnAFullDisk(t *testing.T) {
	for _, kind := range []string{"create", "write"} {
		for _, n := range []int{5, 60} {
			for _, torn := range []bool{false, true} {
				t.Run(fmt.Sprint(kind, n, torn), func(t *testing.T) { openOnAFullDisk(t, kind, n, torn) })
			}
		}
	}
}

func openOnAFullDisk(t *testing.T, kind string, n int, torn bool) {
	mem, last := stored(t, n)
	if torn {
		tear(t, mem)
	}
	disk := tight(mem, kind)
	disk.none.Store(true)
	e := open(t, tightOptions(disk))
	if left := e.Status().Visible-last > 1<<20; left != torn { // offsets are left out behind a torn tail
		t.Fatalf("the last offset was %d; now it is %d", last, e.Status().Visible)
	}
	var learned []message.Position
	for range 3 {
		serves(t, e, n, last)
		refuses(t, e)
		e.upkeep(t)
		learned = append(learned, message.Position{Epoch: e.Status().Epoch, Offset: e.Status().Visible})
		nothingAfter(t, e, learned)
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		e = open(t, tightOptions(disk))
	}
	serves(t, e, n, last)
	nothingAfter(t, e, learned)
	r, err := engine.Publish(t.Context(), e, keyedMessage(n-1))
	if err != nil || !r[0].Duplicate || r[0].Offset != last {
		t.Fatalf("a key that is stored: %v, %v", r, err)
	}
	roomy := open(t, tightOptions(tight(mem.Clone(), "")))
	nothingAfter(t, roomy, learned)
	e = resumes(t, disk, e, n)
	for _, e := range []*Engine{roomy, e} {
		last := publish(t, e, "/a/b", "last")
		for _, at := range learned {
			texts, gaps := readAll(t, e, "/a/b", at)
			if len(texts) == 0 || texts[len(texts)-1] != "last" || texts[0] == fmt.Sprint(0) || len(gaps) > 0 {
				t.Fatalf("after %v, up to %d, there is %v, gaps %v", at, last, texts, gaps)
			}
		}
	}
}

// tear leaves the beginning of a batch behind the last one.
func tear(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	names, err := mem.List()
	if err != nil {
		t.Fatal(err)
	}
	newest := ""
	for _, name := range names {
		if strings.HasSuffix(name, ".seg") {
			newest = max(newest, name)
		}
	}
	b := slices.Clone(mem.Bytes(newest))
	end := binary.LittleEndian.Uint32(b[12:]) // see pkg/seglog/FORMAT.md
	for string(b[end:end+4]) == "OBAT" {
		end += (56 + binary.LittleEndian.Uint32(b[end+12:]) + 7) / 8 * 8
	}
	copy(b[end:], "OBAT")
	mem.Put(newest, b)
}

// nothingAfter checks that whoever is at one of these positions has everything.
func nothingAfter(t *testing.T, e *Engine, all []message.Position) {
	t.Helper()
	for _, at := range all {
		if texts, gaps := readAll(t, e, "/a/b", at); len(texts) > 0 || len(gaps) > 0 {
			t.Fatalf("after %v, the last position, there are %d messages, gaps %v", at, len(texts), gaps)
		}
	}
}

// resumes gives the disk room, and checks that the engine goes on by itself, in
// this run and the next. It returns the engine of the last.
func resumes(t *testing.T, disk *tightDisk, e *Engine, n int) *Engine {
	t.Helper()
	at := message.Position{Epoch: e.Status().Epoch, Offset: e.Status().Visible}
	disk.low.Store(false)
	disk.none.Store(false)
	e.upkeep(t)
	if err := e.Status().Refusing; err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		publish(t, e, "/a/b", fmt.Sprint("new ", i))
	}
	for run := range 3 {
		if texts, gaps := readAll(t, e, "/a/b", at); fmt.Sprint(texts) != "[new 0 new 1]" || len(gaps) > 0 {
			t.Fatalf("run %d: after what was read before there is %v, gaps %v", run, texts, gaps)
		}
		if texts, _ := readAll(t, e, "/a/b", message.Position{}); len(texts) != n+2 || texts[n-1] != fmt.Sprint(n-1) {
			t.Fatalf("run %d: %d messages can be read, %d were stored", run, len(texts), n+2)
		}
		if run == 1 {
			disk.PowerOff()
		}
		_ = e.Close(t.Context())
		if run == 1 {
			disk = tight(disk.FS.(*vfs.Mem).Crash(rand.New(rand.NewPCG(2, 2)), 0), "")
		}
		e = open(t, tightOptions(disk))
	}
	return e
}

// What rules let go of while the run has not begun stays gone when it does.
func TestTrimOnAFullDisk(t *testing.T) {
	const n = 30
	clock := newHandClock()
	for keep := range 5 {
		mem, _ := stored(t, n)
		disk := tight(mem, "create")
		disk.none.Store(true)
		opts := tightOptions(disk)
		opts.Now = clock.now
		e := open(t, opts)
		rule := engine.Rule{Messages: keep}
		if keep == 0 {
			clock.Store(time.Now().Add(time.Hour).UnixMilli())
			rule.Age = time.Minute
		}
		e.SetRules(func(channel.Name) engine.Rule { return rule })
		before, _ := readAll(t, e, "/a/b", message.Position{})
		disk.none.Store(false)
		e.upkeep(t)
		after, _ := readAll(t, e, "/a/b", message.Position{})
		if len(before) != keep || fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("of %d to keep there were %v, and %v when the run had begun", keep, before, after)
		}
		publish(t, e, "/a/b", "new")
		texts, _ := readAll(t, e, "/a/b", message.Position{})
		if len(texts) == 0 || texts[len(texts)-1] != "new" || keep > 0 && len(texts) != keep {
			t.Errorf("of %d to keep there are %v", keep, texts)
		}
	}
}

// Where nothing was ever stored there is nothing to serve.
func TestFirstOpenOnAFullDisk(t *testing.T) {
	disk := tight(vfs.NewMem(), "create")
	disk.none.Store(true)
	if _, err := Open(tightOptions(disk)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
}

// A disk that is full of what the rules let go of frees itself, also where no
// checkpoint is due for long, and publishing resumes by itself.
func TestFullDiskFreesItself(t *testing.T) {
	mem := vfs.NewMem()
	clock := newHandClock()
	e := open(t, Options{
		FS: mem, Now: clock.now, SegmentSize: 16 << 10, MinFree: 64 << 10, Grace: -1,
		Rules: func(channel.Name) engine.Rule { return engine.Rule{Age: time.Minute} },
	})
	mem.SetSpace(512 << 10)
	publishAny := func() error {
		_, err := engine.Publish(t.Context(), e, message.Message{Channel: "/a/b", Data: make([]byte, 1000)})
		return err
	}
	for publishAny() == nil {
	}
	clock.pass(2 * time.Minute)
	for n := 0; n < 1000 && e.Status().Refusing != nil; n++ { // checkpoints are written behind our back
		e.upkeep(t)
		time.Sleep(time.Millisecond)
	}
	if err := publishAny(); err != nil {
		t.Errorf("nothing is left that the rules cover, and yet: %v", err)
	}
}
