package seglog

import (
	"fmt"
	"sync"

	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// A spare is a blank file for the next segment.
type spare struct {
	file vfs.File
	name string
	size uint32
}

// A worker does what need not be done at once, on one goroutine: it makes the
// next segment's file, and indexes of full segments. Its jobs are bounded by
// what the log has segments.
type worker struct {
	log  *Log
	wg   sync.WaitGroup
	wake chan struct{}
	quit chan struct{}

	making sync.Mutex // held while a spare is made
	made   int        // spares; guarded by making

	mu      sync.Mutex
	spare   *spare
	wanted  bool  // a spare
	noSpare error // why the last try to make one failed
	sealing []*segment
	jobs    []func()
	busy    bool // a job of these is being done
}

func (w *worker) start(l *Log) {
	w.log = l
	w.wake = make(chan struct{}, 1)
	w.quit = make(chan struct{})
	w.wg.Go(w.run)
	w.kick()
}

func (w *worker) stop() {
	close(w.quit)
	w.wg.Wait()
	if sp := w.takeSpare(); sp != nil {
		sp.file.Close()
	}
}

func (w *worker) run() {
	for {
		select {
		case <-w.quit:
			return
		case <-w.wake:
		}
		for w.step() {
		}
	}
}

// step does one job, the spare first, and reports whether there was one.
func (w *worker) step() bool {
	select {
	case <-w.quit:
		return false
	default:
	}
	w.mu.Lock()
	wanted := w.wanted
	w.wanted = false
	w.mu.Unlock()
	if wanted {
		w.makeSpare()
		return true
	}
	w.mu.Lock()
	var job func()
	if len(w.sealing) > 0 {
		s := w.sealing[0]
		w.sealing = w.sealing[1:]
		job = func() { w.log.seal(s) }
	} else if len(w.jobs) > 0 {
		job = w.jobs[0]
		w.jobs = w.jobs[1:]
		w.busy = true
	}
	w.mu.Unlock()
	if job == nil {
		return false
	}
	job()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy = false
	return true
}

// idle reports whether no job was given to do that is not done.
func (w *worker) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.busy && len(w.jobs) == 0
}

func (w *worker) kick() {
	if w.wake == nil { // not started: the log is being opened
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// do runs job in the background, after what is waiting.
func (w *worker) do(job func()) {
	w.mu.Lock()
	w.jobs = append(w.jobs, job)
	w.mu.Unlock()
	w.kick()
}

// seal has an index written for a segment that is full.
func (w *worker) seal(s *segment) {
	w.mu.Lock()
	w.sealing = append(w.sealing, s)
	w.mu.Unlock()
	w.kick()
}

// wantSpare asks for a spare segment, unless there is one.
func (w *worker) wantSpare() {
	w.mu.Lock()
	want := w.spare == nil && w.noSpare == nil && !w.wanted
	w.wanted = w.wanted || want
	w.mu.Unlock()
	if want {
		w.kick()
	}
}

// hasSpare reports whether there is a spare; if not it tries to make one.
func (w *worker) hasSpare() bool {
	w.mu.Lock()
	has := w.spare != nil
	w.mu.Unlock()
	if !has {
		w.makeSpare()
		w.mu.Lock()
		has = w.spare != nil
		w.mu.Unlock()
	}
	return has
}

// takeSpare returns the spare segment, if there is one; it waits for one that is
// being made.
func (w *worker) takeSpare() *spare {
	w.making.Lock()
	defer w.making.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	sp := w.spare
	w.spare, w.noSpare = nil, nil
	return sp
}

func (w *worker) makeSpare() {
	w.making.Lock()
	defer w.making.Unlock()
	w.mu.Lock()
	has := w.spare != nil
	w.mu.Unlock()
	if has {
		return
	}
	size := w.log.nextSize()
	w.made++
	name := fmt.Sprintf("spare%d.tmp", w.made) // the one before may be about to get its name
	f, err := w.log.allocate(name, size, w.log.opts.MinFree)
	w.mu.Lock()
	defer w.mu.Unlock()
	again := w.noSpare != nil
	if w.noSpare = err; err != nil {
		if !again { // it is tried every second
			w.log.log.WithError(err).Warn("no room for the next segment of the log")
		}
		return
	}
	w.spare = &spare{f, name, size}
}
