package local

import (
	"errors"
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/seglog/vfs"
)

// Options say where and how an engine stores. Dir or FS is required.
type Options struct {
	Dir    string // made if it does not exist, for its owner only
	FS     vfs.FS // in place of Dir
	Logger logrus.FieldLogger
	Now    func() time.Time // default time.Now; how much time passes its monotonic reading says

	// Rules says how a channel is stored and for how long; it is called
	// concurrently and must be pure. Default: on disk, without limits.
	Rules func(channel.Name) engine.Rule

	KeyWindow time.Duration // how long an idempotency key is remembered; default 24 h
	KeyCount  int           // and how many; default 1,000,000

	SegmentSize int64 // of a full-grown segment; default 64 MiB
	MinFree     int64 // free space that is left for checkpoints; default 64 MiB
	VerifyBytes int64 // how much of the newest data Open checks; default 64 MiB

	// ChannelCount is how many channels without any message left are remembered
	// with their last offsets; default 1,000,000.
	ChannelCount int
	// Grace is how long nothing expires after the clock jumped; default 1 h, negative:
	// it is believed at once.
	Grace time.Duration

	wrong           func() time.Duration // how far the wall clock is off, in tests
	checkpointEvery int64                // how much log a start may have to replay; default 64 MiB
}

func (o *Options) defaults() error {
	if (o.Dir == "") == (o.FS == nil) {
		return errors.New("local engine: exactly one of Dir and FS is required")
	}
	if o.Logger == nil {
		silent := logrus.New()
		silent.SetOutput(io.Discard)
		o.Logger = silent
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rules == nil {
		o.Rules = func(channel.Name) engine.Rule { return engine.Rule{} }
	}
	if o.KeyWindow == 0 {
		o.KeyWindow = 24 * time.Hour
	}
	if o.KeyCount == 0 {
		o.KeyCount = 1_000_000
	}
	if o.ChannelCount == 0 {
		o.ChannelCount = 1_000_000
	}
	if o.checkpointEvery == 0 {
		o.checkpointEvery = checkpointEvery
	}
	if o.Grace == 0 {
		o.Grace = time.Hour
	}
	return nil
}
