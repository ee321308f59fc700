package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/engine/local"
	"github.com/orbitd/orbitd/pkg/message"
)

// Figures of the engine.
const (
	storedRate = "stored/s"
	untilReady = "until it answers"

	residentAfter = "resident memory"
)

// engineAlone measures the engine in this process.
func engineAlone(publishers int, d time.Duration) measure {
	return func(b *bench) (figures, error) {
		folder, err := b.temp()
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(folder)
		e, err := openEngine(folder)
		if err != nil {
			return nil, err
		}
		var n int
		var took time.Duration
		err = onBothCores(func() (err error) {
			begin := time.Now()
			n, err = store(e, publishers, func(int) bool { return time.Since(begin) < d })
			took = time.Since(begin)
			return err
		})
		return figures{storedRate: float64(n) / took.Seconds()}, errors.Join(err, e.Close(context.Background()))
	}
}

// onBothCores runs f with the servers' core and this process' own: the engine alone
// has the machine to itself.
func onBothCores(f func() error) error {
	if os.Getenv(pinned) == "" {
		return f()
	}
	both, own := coresOf(serverCore, generatorCore), coresOf(generatorCore)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	if err := moveTo(both); err != nil {
		return err
	}
	return errors.Join(f(), moveTo(own))
}

func coresOf(names ...string) *unix.CPUSet {
	var set unix.CPUSet
	for _, name := range names {
		if core, err := strconv.Atoi(name); err == nil {
			set.Set(core)
		}
	}
	return &set
}

// moveTo has all threads of this process run on the cores of set.
func moveTo(set *unix.CPUSet) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, thread := range threads {
		tid, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(tid, set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("move thread %d: %w", tid, err)
		}
	}
	return nil
}

// startWith measures a start on an engine that holds n messages.
func startWith(n int) measure {
	return func(b *bench) (figures, error) {
		folder, err := b.temp()
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(folder)
		e, err := openEngine(filepath.Join(folder, "engine"))
		if err != nil {
			return nil, err
		}
		const publishers = 1024
		_, err = store(e, publishers, func(mine int) bool { return mine < n/publishers })
		if err := errors.Join(err, e.Close(context.Background())); err != nil {
			return nil, err
		}
		begin := time.Now()
		s, err := b.startOrbitd(folder)
		if err != nil {
			return nil, err
		}
		err = s.ready(context.Background())
		took := time.Since(begin)
		memory := s.resident()
		return figures{untilReady: took.Seconds(), residentAfter: memory / 1e6}, errors.Join(err, s.stop())
	}
}

func openEngine(folder string) (engine.Engine, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	log := logrus.New()
	log.SetLevel(logrus.WarnLevel)
	return local.Open(local.Options{
		Dir: folder, Logger: log, MinFree: 1 << 20,
	})
}

// store has publishers each store one message of 256 bytes after the other, on
// 1,000 channels, as long as more says so, and returns how many were stored.
func store(e engine.Engine, publishers int, more func(mine int) bool) (n int, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	data := []byte(`"` + strings.Repeat(".", 254) + `"`)
	for i := range publishers {
		name := channel.Name(channelName(i % 1000))
		all.Go(func() {
			mine := 0
			var failed error
			answered := make(chan error, 1)
			msgs := []message.Message{{Channel: name, Data: data}}
			done := func(_ []engine.Receipt, err error) { answered <- err }
			for ; failed == nil && more(mine); mine++ {
				e.Submit(msgs, done)
				failed = <-answered
			}
			mu.Lock()
			defer mu.Unlock()
			n, err = n+mine, errors.Join(err, failed)
		})
	}
	all.Wait()
	return n, err
}
