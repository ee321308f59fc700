package enginetest

import (
	"context"
	"errors"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// quotas is for engines that are a Meter: an application stores up to its bound and
// no further, whatever another one does; what is stored already is told all the
// same, and what retention removes makes room.
func quotas(t T, world World) {
	const shop = channel.Name("/shop/a")
	rules := map[channel.Name]engine.Rule{logA: {}, shop: {}}
	b := newBench(t, world, Options{KeyWindow: time.Hour, KeyCount: 1000}, rules)
	b.open()
	meter, ok := b.engine.(engine.Meter)
	if !ok {
		return
	}
	m := text(logA, "0123456789")
	size := int64(m.Size())
	meter.SetQuotas(map[string]int64{"log": 3*size + size/2, "other": 1})
	publish := func(msgs ...message.Message) *submission {
		s := b.send(msgs...)
		b.await(s.answered, "Submit")
		return s
	}
	expect := func(what string, s *submission, index int) {
		t.Helper()
		e := message.AsError(s.err)
		switch {
		case index < 0 && s.err != nil:
			t.Fatalf("%s: %v", what, s.err)
		case index >= 0 && (s.err == nil || e.Code != message.Unavailable || e.Index != index || !errors.Is(s.err, engine.ErrQuota)):
			t.Fatalf("%s: got %v", what, s.err)
		}
	}
	keyed := withKey(m, "k")
	expect("the first", publish(keyed), -1)
	expect("a batch beyond the bound", publish(text(shop, "x"), m, m, m), 3)
	expect("what fits", publish(m, m), -1)
	expect("one too many", publish(m), 0)
	expect("another application", publish(text(shop, "x"), text(shop, "y")), -1)
	expect("a retry of what is stored", publish(keyed), -1)
	recalls(t, b, keyed, m)
	if n := meter.Stored("log"); n != 3*size+1 { // with the key
		t.Fatalf("%d bytes are counted, want %d", n, 3*size+1)
	}
	if n := meter.Stored("shop"); n == 0 {
		t.Fatalf("nothing is counted of what has no bound")
	}
	b.engine.SetRules(ruleFunc(map[channel.Name]engine.Rule{logA: {Messages: 1}, shop: {}}))
	expect("after a trim", publish(m), -1)
	meter.SetQuotas(map[string]int64{"log": size})
	expect("a lower bound", publish(m), 0)
	meter.SetQuotas(nil)
	expect("no bound", publish(m), -1)
	b.check(b.close())
}

// recalls is for engines that are a Recaller: what is stored is told, and sessions are
// stored with it; all else is refused as was asked for.
func recalls(t T, b *bench, stored, other message.Message) {
	t.Helper()
	recaller, ok := b.engine.(engine.Recaller)
	if !ok {
		return
	}
	otherwise := message.Errorf(message.RateLimited, "otherwise")
	keys := byte(0)
	recall := func(msgs ...message.Message) *submission {
		keys++
		saved := engine.Session{Key: engine.SessionKey{'r', keys}, TTL: time.Hour}
		s := &submission{answered: make(chan struct{})}
		recaller.Recall(msgs, []engine.Session{saved}, otherwise, func(r []engine.Receipt, err error) {
			s.receipts, s.err = r, err
			close(s.answered)
		})
		b.await(s.answered, "Recall")
		if _, is, err := b.engine.Session(context.Background(), saved.Key); err != nil || is != (s.err == nil) {
			t.Fatalf("Recall answered %v; its session is stored: %t, %v", s.err, is, err)
		}
		return s
	}
	if s := recall(stored, stored); s.err != nil || len(s.receipts) != 2 || !s.receipts[0].Duplicate || s.receipts[0] != s.receipts[1] || s.receipts[0].Offset == 0 {
		t.Fatalf("Recall of what is stored: %v, %v", s.receipts, s.err)
	}
	another := withKey(other, "another")
	for _, msgs := range [][]message.Message{{other}, {another}, {stored, another}, {stored, other}, {another, another}} {
		if s := recall(msgs...); s.err != error(otherwise) {
			t.Fatalf("Recall of %d messages that are not all stored: %v, %v", len(msgs), s.receipts, s.err)
		}
	}
	changed := withKey(other, "k")
	changed.Data = []byte("changed")
	if s := recall(changed); message.CodeOf(s.err) != message.Conflict {
		t.Fatalf("Recall of another message with the key: %v", s.err)
	}
}
