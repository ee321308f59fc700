package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

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
		begin := time.Now()
		n, err := store(e, publishers, func(int) bool { return time.Since(begin) < d })
		took := time.Since(begin)
		return figures{storedRate: float64(n) / took.Seconds()}, errors.Join(err, e.Close(context.Background()))
	}
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
			for ; failed == nil && more(mine); mine++ {
				_, failed = engine.Publish(context.Background(), e, message.Message{Channel: name, Data: data})
			}
			mu.Lock()
			defer mu.Unlock()
			n, err = n+mine, errors.Join(err, failed)
		})
	}
	all.Wait()
	return n, err
}
