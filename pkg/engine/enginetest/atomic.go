package enginetest

import (
	"fmt"
	"time"

	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

func allOrNone(t T, world World) {
	b := plain(t, world)
	rng := newRand()
	b.publish(one(withKey(text(logA, "1"), "k")))
	b.publish([]message.Message{text(logA, "not"), text(logB, "not"), withKey(text(logA, "conflict"), "k")})
	for i := range 25 {
		var sent []*submission
		for j := range 3 {
			sent = append(sent, b.send(text(logA, fmt.Sprint(i, j, "a")), text(logB, fmt.Sprint(i, j, "b")), text(ringA, fmt.Sprint(i, j, "r")), text(logA, fmt.Sprint(i, j, "c"))))
		}
		b.crash(rng, sent, nil)
	}
	b.finish()
}

// allOrNoneSaving crashes while copies of messages are stored together with the
// sessions that acknowledge them.
func allOrNoneSaving(t T, world World) {
	b := plain(t, world)
	rng := newRand()
	save := func(key int, name string) engine.Session {
		return engine.Session{Key: sessionKey(key), Name: name, TTL: time.Hour, Subscriptions: []engine.Subscription{{Channel: logA}}}
	}
	keyed := withKey(text(logA, "1"), "k")
	b.settle([]*submission{b.sendSaving([]engine.Session{save(0, "first")}, keyed)})
	b.settle([]*submission{b.sendSaving([]engine.Session{save(0, "refused")}, text(logA, "not"), withKey(text(logA, "conflict"), "k"))})
	b.auditSessions()
	b.settle([]*submission{b.sendSaving([]engine.Session{save(0, "beside a repeat")}, keyed)})
	b.settle([]*submission{b.sendSaving([]engine.Session{save(0, "alone")})})
	b.crash(rng, nil, nil)
	for i := range 25 {
		var sent []*submission
		for j := range 3 {
			name := fmt.Sprint(i, j)
			sent = append(sent, b.sendSaving([]engine.Session{save(0, name), save(1+j, name)}, text(logB, name), text(ringA, name)))
		}
		b.crash(rng, sent, nil)
	}
	b.finish()
}
