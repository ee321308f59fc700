package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/reactor"
)

// statusEvery is how old what the service manager shows may be.
const statusEvery = 5 * time.Second

// startPulse tells the service manager how the daemon is, and that it is alive.
func (d *Daemon) startPulse(watchdog time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { d.showStatus(ctx) })
	if watchdog > 0 {
		running.Go(func() { d.beat(ctx, watchdog) })
	}
	d.stop.add("pulse", func(context.Context) error {
		cancel()
		running.Wait()
		return nil
	})
}

// showStatus keeps the status text true.
func (d *Daemon) showStatus(ctx context.Context) {
	every := time.NewTicker(statusEvery)
	defer every.Stop()
	for shown := ""; ; {
		if text := d.summary(); text != shown {
			d.tell(d.manager.Status(text))
			shown = text
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}

// beat says that the daemon is alive, thrice in the time after which it would be
// killed, for as long as it is. What is not, the log says before that.
func (d *Daemon) beat(ctx context.Context, watchdog time.Duration) {
	every := time.NewTicker(watchdog / 3)
	defer every.Stop()
	for {
		err := d.alive(ctx, watchdog/3)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.log.WithError(err).Error("a part of this daemon does not answer; the watchdog is not told that it is alive")
		default:
			d.tell(d.manager.Alive())
		}
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}

// A prober is an engine whose writer can be asked for a sign of life. The others
// have none that could hang.
type prober interface {
	Probe(ctx context.Context) error
}

// alive returns what does not answer in time: what writes the log, or one of the
// loops that deliver.
func (d *Daemon) alive(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if p, ok := d.engine.(prober); ok {
		if err := p.Probe(ctx); err != nil {
			return fmt.Errorf("the log's writer: %w", err)
		}
	}
	for i, loop := range d.reactor.Loops() {
		if err := turns(ctx, loop); err != nil {
			return fmt.Errorf("loop %d: %w", i, err)
		}
	}
	return nil
}

// turns waits for a turn of a loop.
func turns(ctx context.Context, loop *reactor.Loop) error {
	turned := make(chan struct{})
	loop.Post(func() { close(turned) })
	select {
	case <-turned:
		return nil
	case <-ctx.Done():
		return errors.New("it does not turn")
	}
}

// nobody is the manager of a daemon that was started by hand.
type nobody struct{}

func (nobody) Ready() error        { return nil }
func (nobody) Reloading() error    { return nil }
func (nobody) Stopping() error     { return nil }
func (nobody) Status(string) error { return nil }
func (nobody) Alive() error        { return nil }
