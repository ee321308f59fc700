package memory

import (
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
)

// What Options default to.
const (
	DefaultKeyWindow = 24 * time.Hour
	DefaultKeyCount  = 1 << 20
	DefaultRing      = 1024
)

// Options configures an Engine. The zero value is good.
type Options struct {
	Now       func() time.Time // time.Now by default
	KeyWindow time.Duration    // how long an idempotency key is remembered; DefaultKeyWindow by default
	KeyCount  int              // how many keys are remembered at most; DefaultKeyCount by default
	// Rules says how channels are stored. By default nothing is ever trimmed. A
	// memory channel without a limit of messages has DefaultRing.
	Rules func(channel.Name) engine.Rule
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.KeyWindow == 0 {
		o.KeyWindow = DefaultKeyWindow
	}
	if o.KeyCount == 0 {
		o.KeyCount = DefaultKeyCount
	}
	if o.Rules == nil {
		o.Rules = func(channel.Name) engine.Rule { return engine.Rule{} }
	}
	return o
}
