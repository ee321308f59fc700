package enginetest

import (
	"fmt"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

func limits(t T, world World) {
	b := plain(t, world)
	for i := range 9 {
		b.publish(one(text(logA, fmt.Sprintf("%0*d", 1+i*100, i))), one(text(logB, "b")))
	}
	for _, limit := range []engine.Limit{{Messages: 1}, {Messages: 4}, {Bytes: 1}, {Bytes: 500}, {Messages: 3, Bytes: 700}, {}} {
		b.readAll(b.names(), message.Position{}, limit)
		b.history(logA, 0, limit)
		b.history(logA, b.ledger.visible, limit)
	}
	b.finish()
}

func memoryLost(t T, world World) {
	b := plain(t, world)
	for i := range 8 { // the ring holds five
		b.publish(one(text(ringA, fmt.Sprint(i))))
		b.everyPosition()
	}
	learned := message.Position{Epoch: b.ledger.epoch(), Offset: b.ledger.visible - 2}
	b.restart()
	b.read([]channel.Name{ringA, logA}, learned, engine.Limit{})
	b.publish(one(text(ringA, "new")))
	b.read([]channel.Name{ringA, logA}, learned, engine.Limit{})
	b.finish()
}

func oneKey(t T, world World) {
	b := plain(t, world)
	rng := newRand()
	m := withKey(text(logA, "1"), "k")
	other := m
	other.Data = []byte("2")
	bob := m
	bob.Publisher = "bob"
	b.publish(one(m), one(m), one(other), one(bob)) // the second is under way with the first
	b.publish([]message.Message{withKey(text(logA, "3"), "l"), withKey(text(logA, "3"), "l")})
	b.crash(rng, nil, nil)
	b.publish(one(m), one(other), one(bob))
	for i := range 10 {
		lost := withKey(text(logA, fmt.Sprint("lost", i)), fmt.Sprint("lost", i))
		b.crash(rng, []*submission{b.send(lost)}, nil)
		b.publish(one(lost), one(lost)) // whether it was stored or not
	}
	b.setRules(map[channel.Name]engine.Rule{logA: {Messages: 1}, logB: {}, ringA: b.rules[ringA]})
	b.publish(one(text(logA, "trims all before")))
	b.read([]channel.Name{logA}, message.Position{}, engine.Limit{})
	b.publish(one(m)) // keys outlive their messages
	b.restart()
	b.publish(one(m))
	b.finish()
}

func keysExpire(t T, world World) {
	b := plain(t, world)
	old := withKey(text(logA, "0"), "old")
	old.First = 1 // long ago, but nothing is forgotten yet
	b.publish(one(old))
	m := withKey(text(logA, "1"), "k")
	m.First = b.ledger.now
	b.publish(one(m))
	b.tick(time.Hour - time.Minute)
	b.publish(one(m))
	b.tick(2 * time.Minute)
	b.publish(one(m))
	b.restart()
	b.publish(one(m))
	late := withKey(text(logA, "2"), "late")
	late.First = b.ledger.now - 2*time.Hour.Milliseconds()
	b.publish(one(late))
	b.finish()
}

func trimKeeps(t T, world World) {
	b := plain(t, world)
	for i := range 12 {
		b.publish(one(text(logA, fmt.Sprint(i))), one(text(logB, fmt.Sprint(i))))
		b.tick(time.Second)
	}
	size := int64(b.ledger.lines[logA].all[11].Size())
	for _, r := range []engine.Rule{{Messages: 11}, {Age: 10 * time.Second}, {Bytes: 9*size + 3}, {Messages: 8, Age: time.Hour}, {Bytes: 7 * size}, {Messages: 1}} {
		b.setRules(map[channel.Name]engine.Rule{logA: r, logB: {}, ringA: b.rules[ringA]})
		b.audit()
		b.history(logA, 0, engine.Limit{})
		b.crash(newRand(), nil, nil)
	}
	b.finish()
}

func cursorsForward(t T, world World) {
	b := plain(t, world)
	for i := range 6 {
		b.publish(one(text(logA, fmt.Sprint(i))))
	}
	at := func(o message.Offset, above ...message.Offset) engine.Cursor {
		return engine.Cursor{Position: message.Position{Epoch: b.ledger.epoch(), Offset: o}, Above: above}
	}
	key := sessionKey(0)
	b.settleSaves([]*saving{b.saveSession(engine.Session{Key: key, Name: "s", TTL: time.Hour, Subscriptions: []engine.Subscription{{Channel: logA, Cursor: at(2)}}})})
	for _, c := range []engine.Cursor{at(3), at(2), at(4, 6), at(4, 6, 7), at(3), at(5, 6, 7)} {
		b.tick(time.Second)
		b.move(engine.CursorMove{Key: key, Channel: logA, Cursor: c})
		b.session(key)
	}
	b.move(engine.CursorMove{Key: key, Channel: logB, Cursor: at(6)}, engine.CursorMove{Key: sessionKey(1), Channel: logA, Cursor: at(6)})
	b.auditSessions()
	b.crash(newRand(), nil, nil)
	b.move(engine.CursorMove{Key: key, Channel: logA, Cursor: at(7)})
	b.publish(one(text(logA, "commits the move")))
	b.crash(newRand(), nil, nil)
	b.finish()
}

func definiteErrors(t T, world World) {
	b := plain(t, world)
	b.publish(one(withKey(text(logA, "0"), "forgotten")))
	b.tick(2 * time.Hour)
	b.publish(one(withKey(text(logA, "1"), "k")))
	late := withKey(text(logA, "2"), "late")
	late.First = 1
	early := withKey(text(logA, "3"), "early")
	early.Predecessor = "never"
	for _, m := range []message.Message{withKey(text(logA, "other"), "k"), late, early} {
		b.publish(one(m))
		b.publish([]message.Message{text(logB, "with it"), m, text(logB, "and it")})
		b.audit()
	}
	next := withKey(text(logA, "4"), "next")
	next.Predecessor = "k"
	after := withKey(text(logA, "5"), "after")
	after.Predecessor = "next"
	b.publish([]message.Message{next, after})
	b.publish(nil)
	b.crash(newRand(), nil, nil)
	b.finish()
}

func sessionsSurvive(t T, world World) {
	b := plain(t, world)
	rng := newRand()
	s := engine.Session{Key: sessionKey(0), Realm: "r", User: "alice", Name: "s", Secrets: [2][32]byte{{1}, {2}}, TTL: time.Hour}
	for i := range 8 {
		s.Subscriptions = append(s.Subscriptions, engine.Subscription{Channel: logA, ID: fmt.Sprint(i), Options: []byte{byte(i)}})
		other := s
		other.Key, other.Name = sessionKey(1), "t"
		b.settleSaves([]*saving{b.saveSession(s), b.saveSession(other)})
		b.crash(rng, nil, nil)
		b.settleSaves([]*saving{b.dropSession(other.Key), b.dropSession(sessionKey(2))})
		b.crash(rng, nil, nil)
		other.Subscriptions = nil
		b.crash(rng, nil, []*saving{b.saveSession(other)})
	}
	b.tick(2 * time.Hour) // past the TTL
	b.auditSessions()
	b.finish()
}

func tailBeforeDone(t T, world World) {
	b := plain(t, world)
	for i := range 20 {
		var had int
		done := make(chan struct{})
		before := b.tail.count()
		var once sync.Once
		b.engine.Submit([]message.Message{text(logA, fmt.Sprint(i)), text(ringA, fmt.Sprint(i))}, func([]engine.Receipt, error) {
			once.Do(func() { had = b.tail.count() - before; close(done) })
		})
		b.await(done, "Submit")
		if had != 2 {
			b.check(fmt.Errorf("when done was called, the tail had been given %d of 2 messages", had))
		}
	}
	b.tail.stop()
	b.publishUnjudged(text(logA, "unheard"))
	if n := b.tail.count(); n != 40 {
		b.check(fmt.Errorf("the tail has %d messages after stop, had 40", n))
	}
	b.check(b.close())
}

// publishUnjudged publishes without judging.
func (b *bench) publishUnjudged(m message.Message) {
	b.t.Helper()
	_, err := engine.Publish(b.t.Context(), b.engine, m)
	b.check(err)
}

func closed(t T, world World) {
	b := plain(t, world)
	b.publish(one(text(logA, "1")))
	b.check(b.close())
	b.check(b.close())
	_, err := engine.Publish(t.Context(), b.engine, text(logA, "2"))
	if message.CodeOf(err) != message.Unavailable {
		b.check(fmt.Errorf("publish on a closed engine: %v; want %s", err, message.Unavailable))
	}
	v := b.saveSession(engine.Session{Key: sessionKey(0), TTL: time.Hour})
	b.await(v.answered, "SaveSession")
	if message.CodeOf(v.err) != message.Unavailable {
		b.check(fmt.Errorf("SaveSession on a closed engine: %v; want %s", v.err, message.Unavailable))
	}
}
