package memory

import (
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

var (
	_ engine.Meter    = (*Engine)(nil)
	_ engine.Recaller = (*Engine)(nil)
)

// Stored is engine.Meter's.
func (e *Engine) Stored(app string) int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stored(app)
}

func (e *Engine) stored(app string) (bytes int64) {
	for name, l := range e.state.channels {
		if name.App() != app {
			continue
		}
		e.trim(name)
		for i := range l.messages {
			bytes += int64(l.messages[i].Size())
		}
	}
	return bytes
}

// SetQuotas is engine.Meter's.
func (e *Engine) SetQuotas(bytes map[string]int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.quotas = bytes
}

// judgeQuotas says which application may not store so much more; e.mu is held.
func (e *Engine) judgeQuotas(msgs []message.Message, receipts []engine.Receipt) error {
	more := make(map[string]int64)
	for i := range msgs {
		app := msgs[i].Channel.App()
		bound, bounded := e.quotas[app]
		if !bounded || receipts[i].Duplicate {
			continue
		}
		more[app] += int64(msgs[i].Size())
		if e.stored(app)+more[app] > bound {
			err := message.Errorf(message.Unavailable, "application %s has stored all of its %d bytes (app.%[1]s.quota.stored); try again when retention has made room", app, bound)
			err.Index = i
			return err.Because(engine.ErrQuota)
		}
	}
	return nil
}
