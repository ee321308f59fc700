package daemon

import (
	"context"
	"errors"
	"time"
)

// within has a server wait for its peers no longer than limit, so that one of
// them cannot take the time that the steps behind need. Those that are not done
// then are cut off: by the server itself, or by cut.
func (d *Daemon) within(ctx context.Context, limit time.Duration, shutdown func(context.Context) error, cut func() error) error {
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := shutdown(short)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if cut != nil {
		err = errors.Join(err, cut())
	}
	if ctx.Err() != nil {
		return err
	}
	d.log.WithError(err).Warn("requests that were not complete were cut off")
	return nil
}

// drain tells the clients to come back, and waits until they have gone.
func (d *Daemon) drain(ctx context.Context) error {
	d.transport.Drain(drainSpread)
	d.stomp.Drain()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	limit := time.NewTimer(drainTime)
	defer limit.Stop()
	for d.Clients() > 0 {
		select {
		case <-every.C:
		case <-limit.C:
			return nil // those that do not take their farewell are cut off
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

const (
	drainSpread = 2 * time.Second // over which clients come back
	drainTime   = 3 * time.Second // for them to take their farewell
	requestTime = 2 * time.Second // for requests to be answered
	opsTime     = time.Second     // and those of operators
)
