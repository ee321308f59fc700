package stomp

import (
	"context"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A record is the stored half of a durable subscription or of a group: a session of
// the engine with one subscription. One owner on one loop has it, who claimed it;
// whoever claims it next takes it away. Its methods are called on that loop.
//
// Acknowledgements are stored lazily, as everybody's; refusals with the next
// commit. While something of it is being stored, what changes waits for the answer.
type record struct {
	part    *part
	owner   recordOwner
	kind    kind
	session engine.Session // without its subscription
	channel channel.Name
	name    string // Subscription.ID

	granted  bool // whoever had it has let go of it
	loaded   bool // what is stored is known: the owner's state is newer
	storing  bool
	moved    bool      // the cursor is to be stored
	refused  bool      // and what was refused
	listed   bool      // in part.stale
	released bool      // nothing more becomes of it
	vacant   bool      // and nothing is under way
	seen     time.Time // when the engine last heard of it
	queued   []func()  // to be done when nothing is being stored, or it is released
	drops    func()    // to be done behind what is being stored
	waiting  []func()  // for it to be released
}

// A recordOwner has the state of what a record stores.
type recordOwner interface {
	// stored returns the subscription as it is to be stored: as if the messages gone
	// were acknowledged; and where this is the last word, with what may have been sent
	// until now.
	stored(gone offsets, last bool) engine.Subscription
	// displaced ends the owner: another has claimed the record.
	displaced()
}

// nobody owns a record that is claimed to be dropped.
type nobody struct{}

func (nobody) stored(offsets, bool) (none engine.Subscription) { return none }
func (nobody) displaced()                                      {}

// claim makes r the one that has its key, and calls then on r's loop when whoever had
// it has let go of it. Who has it for another channel keeps it: that is a Conflict.
func (r *record) claim(then func()) error {
	s := r.part.server
	s.mu.Lock()
	before := s.records[r.session.Key]
	if before != nil && before.channel != r.channel && before.channel != "" && r.channel != "" {
		s.mu.Unlock()
		return r.conflict(before.channel)
	}
	s.records[r.session.Key] = r
	s.mu.Unlock()
	r.part.records[r] = struct{}{}
	grant := func() {
		if r.granted = true; r.released { // displaced itself meanwhile
			r.vacate()
			return
		}
		then()
	}
	if before == nil {
		grant()
		return nil
	}
	before.part.loop.Post(func() { before.yield(func() { r.part.loop.Post(grant) }) })
	return nil
}

// conflict is what a durable subscription is told whose name is one of another channel.
func (r *record) conflict(of channel.Name) error {
	return message.Errorf(message.Conflict, "the durable subscription %.40q is one of %s; end it by UNSUBSCRIBE with durable:true first", r.name, of)
}

// yield ends the owner, and calls then when the record is free.
func (r *record) yield(then func()) {
	if r.vacant {
		then()
		return
	}
	r.waiting = append(r.waiting, then)
	if !r.released {
		r.owner.displaced()
	}
}

// A lookedUp is told what is stored.
type lookedUp func(stored engine.Session, found bool, err error)

// lookUp calls done with what is stored, whoever has it.
func (r *record) lookUp(done lookedUp) { r.lookUpOr(nil, done) }

// load calls done with what is stored; where that is nothing, one more is counted for
// its user, or refused.
func (r *record) load(done lookedUp) {
	r.lookUpOr(func() error {
		s := r.part.server
		if ok, err := s.census.Admit(context.Background(), &r.session, int(r.kind)); ok || err != nil {
			return err
		}
		return message.Errorf(message.TooLarge, "%s has %d durable subscriptions and groups already (session.max_channels); end some by UNSUBSCRIBE with durable:true", r.session.User, s.limits.Subscriptions)
	}, done)
}

// lookUpOr is lookUp, and carries absent out where nothing is stored, unless nil.
func (r *record) lookUpOr(absent func() error, done lookedUp) {
	b, loop := r.part.server.broker, r.part.loop
	b.Go(func() {
		stored, found, err := b.Engine().Session(context.Background(), r.session.Key)
		if err == nil && !found && absent != nil {
			err = absent()
		}
		loop.Post(func() { done(stored, found, err) })
	})
}

// save stores all of it, as if gone was acknowledged, with messages, as one; and calls
// done then. The messages count for their applications' rates. It is not called while something is being stored.
func (r *record) save(msgs []message.Message, gone offsets, done func(error)) {
	session := r.saving(gone)
	r.part.server.broker.StoreSaving(msgs, []engine.Session{session}, func(_ []engine.Receipt, err error) {
		r.part.loop.Post(func() {
			done(err)
			r.saved(err)
		})
	})
}

// saving returns what is to be stored. Until saved, nothing else of it is.
func (r *record) saving(gone offsets) engine.Session {
	r.storing, r.moved, r.refused = true, false, false
	r.seen = r.part.loop.Now()
	session := r.session
	session.Subscriptions = []engine.Subscription{r.owner.stored(gone, false)}
	return session
}

// saved goes on behind saving.
func (r *record) saved(err error) {
	r.storing = false
	r.moved = r.moved || err != nil
	r.goOn()
}

// goOn does what waited for the end of a save.
func (r *record) goOn() {
	switch {
	case r.storing:
	case r.released:
		queued := r.queued
		r.queued = nil
		for _, next := range queued { // each sees that it is too late
			next()
		}
		r.farewell()
	case len(r.queued) > 0:
		next := r.queued[0]
		r.queued = r.queued[1:]
		next()
		r.goOn()
	case r.moved || r.refused:
		r.list()
	}
}

// exclusively calls f when nothing of the records is being stored, so that it may save
// them. ok is false where one is released before: then it may not.
func exclusively(records []*record, f func(ok bool)) {
	for _, r := range records {
		switch {
		case r.released:
			f(false)
			return
		case r.storing:
			r.queued = append(r.queued, func() { exclusively(records, f) })
			return
		}
	}
	f(true)
}

// changed has the record stored: its cursor, and what was refused if anything was.
func (r *record) changed(refused bool) {
	r.moved, r.refused = true, r.refused || refused
	r.list()
}

func (r *record) list() {
	if !r.listed && !r.storing && !r.released {
		r.listed = true
		r.part.stale = append(r.part.stale, r)
	}
}

// flush stores what has changed, at the end of a turn.
func (r *record) flush() {
	r.listed = false
	switch {
	case r.storing || r.released:
	case r.refused:
		r.save(nil, nil, func(err error) {
			if err != nil { // as after a crash, some count less
				r.part.server.log.WithError(err).WithField("channel", r.channel).Warn("how often messages were refused is not stored")
			}
		})
	case r.moved:
		r.moved = false
		r.seen = r.part.loop.Now()
		r.part.moves = append(r.part.moves, engine.CursorMove{
			Key: r.session.Key, Channel: r.channel, ID: r.name, Cursor: r.owner.stored(nil, false).Cursor,
		})
	}
}

// tick has what is stored live on for as long as there is an owner.
func (r *record) tick(now time.Time) {
	if r.loaded && !r.released && now.Sub(r.seen) >= r.session.TTL/100 {
		r.changed(false)
	}
}

// release gives the record up: what it knows is stored, and who has claimed it may
// go on. It may be called again.
func (r *record) release() {
	if r.released {
		return
	}
	r.released = true
	delete(r.part.records, r)
	if !r.storing {
		r.farewell()
	}
}

// farewell stores the last word.
func (r *record) farewell() {
	if r.drops != nil {
		r.drops()
		r.drops = nil
	}
	if r.loaded {
		r.loaded = false
		session := r.session
		session.Subscriptions = []engine.Subscription{r.owner.stored(nil, true)}
		r.part.server.broker.Engine().SaveSession(session, func(err error) {
			if err != nil {
				r.part.server.log.WithError(err).WithField("channel", r.channel).Warn("where a durable subscription stands is stored only as far as it was a moment ago")
			}
		})
	}
	if r.granted {
		r.vacate()
	}
}

// vacate makes the record's key free, and lets go on who waits for it.
func (r *record) vacate() {
	r.vacant = true
	s := r.part.server
	s.mu.Lock()
	if s.records[r.session.Key] == r {
		delete(s.records, r.session.Key)
	}
	s.mu.Unlock()
	for _, then := range r.waiting {
		then()
	}
	r.waiting = nil
}

// drop removes what is stored, gives the record up, and calls done when that is durable.
func (r *record) drop(done func(error)) {
	if r.loaded { // else it is not known whether there is anything
		r.part.server.census.Dropped(&r.session, int(r.kind))
	}
	r.loaded = false
	loop := r.part.loop
	drop := func() {
		r.part.server.broker.Engine().DropSession(r.session.Key, func(err error) { loop.Post(func() { done(err) }) })
	}
	if r.storing { // a commit may not have handed it over yet
		r.drops = drop
	} else {
		drop()
	}
	r.release()
}
