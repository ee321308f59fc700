package enginetest

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// cursorsWithinASecond moves a cursor, lets a second pass in which nothing else
// asks for a commit, and cuts the power. The second is the bubble's own, for the
// engine's timers as for its clock.
func cursorsWithinASecond(t *testing.T, factory Factory) {
	synctest.Test(t, func(t *testing.T) {
		b := plain(t, factory(t))
		key := sessionKey(0)
		s := engine.Session{Key: key, Name: "s", TTL: time.Hour, Subscriptions: []engine.Subscription{{Channel: logA}}}
		b.publish(one(text(logA, "1")))
		b.settleSaves([]*saving{b.saveSession(s)})
		for i := range 3 {
			at := message.Position{Epoch: b.ledger.epoch(), Offset: b.ledger.visible + message.Offset(i)}
			b.move(engine.CursorMove{Key: key, Channel: logA, Cursor: engine.Cursor{Position: at}})
			b.tick(time.Second)
			time.Sleep(time.Second)
			synctest.Wait()
			b.ledger.committed()
			b.crash(rand.New(rand.NewPCG(uint64(i), 0)), nil, nil)
		}
		b.finish()
	})
}
