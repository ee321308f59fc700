package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// Options say how a log is kept. FS and Epoch are required.
type Options struct {
	FS     vfs.FS
	Epoch  uint64 // random name of the run that begins with Open; not 0
	Logger logrus.FieldLogger

	// SegmentSize is the size of a full-grown segment; the first ones are
	// smaller. Default 64 MiB.
	SegmentSize uint32
	// MinFree is how much free space the file system keeps when a segment is
	// allocated. Default 64 MiB; it is what checkpoints may use of a full disk.
	MinFree uint64
	// VerifyBytes is how much of the newest data is checked at Open, though it
	// was synced long ago; the rest is checked when it is read. Default 64 MiB.
	VerifyBytes int64
}

func (o *Options) defaults() error {
	if o.FS == nil || o.Epoch == 0 {
		return errors.New("seglog: FS and Epoch are required")
	}
	if o.Logger == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		o.Logger = silent
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = 64 << 20
	}
	o.SegmentSize = max(o.SegmentSize, minSegment)
	if o.MinFree == 0 {
		o.MinFree = 64 << 20
	}
	if o.VerifyBytes == 0 {
		o.VerifyBytes = 64 << 20
	}
	return nil
}

const (
	minSegment   = 4 << 10
	firstSegment = 4 << 20
	// tornSkip is how many offsets a run leaves out after a torn tail.
	tornSkip = 1 << 20
)

// A Log is the open log. Append, Roll, Repair, Final, the checkpoints and Close
// are for one goroutine, its writer. Streams, Records and what only looks may be
// used by any. A goroutine of its own makes spare segments and indexes; Close
// ends it.
type Log struct {
	opts Options
	fs   vfs.FS
	log  logrus.FieldLogger
	lock io.Closer
	view bool // for Check, which writes nothing

	// The writer's.
	active  *segment // synced up to its end
	ceiling uint64
	runs    []Run
	failed  error  // why the active segment takes nothing more
	held    *Batch // what was being written when it failed
	waiting *beginning
	ckpt    checkpoints

	mu        sync.RWMutex // guards the index: streams, their parts, and the list of segments
	streams   map[string]*Stream
	forgotten uint64     // the greatest offset of a stream that was forgotten
	segs      []*segment // oldest first; the last one is active
	oldest    uint32     // segments below may be removed
	removed   int        // segments that were, in this run

	astray atomic.Bool // a rewrite ended half way; see there

	worker worker

	closing sync.Once
	closed  error
}

// Open opens the log in a folder, or makes one, and begins a run. A
// *CorruptError says that synced data is damaged; then nothing was changed. Where
// the disk is full, what is there can be read; see Failed and Scarce.
func Open(opts Options) (*Log, error) {
	if err := opts.defaults(); err != nil {
		return nil, err
	}
	lock, err := opts.FS.Lock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", opts.FS.Path("lock"), err)
	}
	l := &Log{opts: opts, fs: opts.FS, log: opts.Logger, lock: lock, streams: map[string]*Stream{}}
	if err := l.recover(); err != nil {
		l.closeFiles()
		lock.Close()
		return nil, err
	}
	l.worker.start(l)
	return l, nil
}

// Stream returns the stream with that key, an empty one if it is new.
func (l *Log) Stream(key string) *Stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stream(key)
}

func (l *Log) stream(key string) *Stream {
	s := l.streams[key]
	if s == nil {
		s = &Stream{log: l, key: key, floor: l.forgotten} // what it had under that name is gone
		l.streams[key] = s
	}
	return s
}

// Forget removes a stream that has no records left, and reports whether it did.
// Whoever holds it must let go of it. In a stream that gets this name or is new
// later, everything up to where this one ended counts as removed; its first record
// says so in Prev, for the next start.
func (l *Log) Forget(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.streams[key]
	if s == nil || len(s.parts) > 0 {
		return s == nil
	}
	delete(l.streams, key)
	l.forgotten = max(l.forgotten, s.last)
	return true
}

// Streams returns all streams, in no order.
func (l *Log) Streams() []*Stream {
	l.mu.RLock()
	defer l.mu.RUnlock()
	all := make([]*Stream, 0, len(l.streams))
	for _, s := range l.streams {
		all = append(all, s)
	}
	return all
}

// Runs returns the runs that are known, oldest first; the last is the current.
func (l *Log) Runs() []Run { return slices.Clone(l.runs) }

// Ceiling returns an offset that is above or equal to all that were ever given,
// as far as the disk knows: the next one must be above.
func (l *Log) Ceiling() uint64 { return l.ceiling }

// Failed returns why nothing can be appended, nil while it can. After Open it may
// be ErrFull: the run begins, and Repair succeeds, when there is room.
func (l *Log) Failed() error { return l.failed }

// Scarce returns why nothing but urgent batches can be appended, as far as was found
// out when the newest segment was made; nil if more can. HasRoom tries again.
func (l *Log) Scarce() error { return cmp.Or(l.failed, l.active.reserved) }

// A Size is how large a log is.
type Size struct {
	Segments int
	Bytes    int64 // that they hold; files are allocated ahead of that
	Removed  int   // segments, since Open
}

// Size returns how large the log is.
func (l *Log) Size() Size {
	l.mu.RLock()
	defer l.mu.RUnlock()
	size := Size{Segments: len(l.segs), Removed: l.removed}
	for _, s := range l.segs {
		size.Bytes += int64(s.end)
	}
	return size
}

// Close waits for the goroutine in the background and closes all files. What
// was appended is durable already. It may be called again.
func (l *Log) Close() error {
	l.closing.Do(func() {
		l.worker.stop()
		l.closeFiles()
		l.closed = l.lock.Close()
	})
	return l.closed
}

func (l *Log) closeFiles() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segs {
		s.release()
	}
	l.segs = nil
}
