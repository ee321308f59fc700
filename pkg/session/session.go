package session

import (
	"crypto/subtle"
	"slices"
	"strings"
	"time"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
)

// A Session is one logical client. It is owned by its part's loop: every method
// but Part is called there. It begins with Part.Open or Part.Create, is taken up
// by Attach as often as the client comes back, and ends when its time to live
// has passed without a connection.
//
// It is small, because there are many: TestSizes says how small. Times count from
// the manager's start.
type Session struct {
	part  *Part  // never changes
	owner *owner // never changes
	id    ID

	secrets [2]secretHash   // of the newest secret and the one before it
	subs    []*subscription // by channel
	feed    *feed           // instead of these, for a client with one position; else nil
	unacked int             // bytes that were sent and not acknowledged, or are being read

	// Of the current connection; nil while there is none.
	conn Conn
	who  *broker.Who

	detachedAt time.Duration // if conn is nil
	seen       time.Duration // when the engine last heard of it; 0: it has not
	sought     time.Duration // when it was last looked up; guarded by Manager.mu

	index  int32  // in Part.sessions; removed is in none
	turn   uint16 // whose of subs it is to be first
	known  bool   // a client had it before
	manual bool   // the application on the current connection acknowledges
}

// removed is the index of a session that has ended.
const removed = -1

// An owner is whose a session is, and what its user calls it. Sessions without
// either, of which there are most, share one.
type owner struct {
	realm, user string
	name        string // of a durable session, else empty
}

// Part returns the part that the session belongs to.
func (s *Session) Part() *Part { return s.part }

// ID returns the session's name on the wire.
func (s *Session) ID() string { return s.id.String() }

// TTL returns for how long the session outlives its connection, while it has a
// subscription.
func (s *Session) TTL() time.Duration {
	switch limits := &s.part.manager.limits; {
	case s.owner.name != "":
		return limits.DurableTTL
	case s.feed != nil:
		return 0
	default:
		return limits.TTL
	}
}

// Who returns who the client has proven to be.
func (s *Session) Who() *broker.Who { return s.who }

// Attach gives the session a new connection, which displaces the one it may
// have. It returns the next secret, and whether the client had this session
// before. ok is false if r does not entitle to this session; then nothing has
// changed. Nothing is sent before Resume and Start.
func (s *Session) Attach(conn Conn, r Request) (secret string, resumed, ok bool) {
	if !s.opensFor(r) {
		return "", false, false
	}
	if s.conn != nil {
		s.dismiss(ByeDisplaced, 0)
	}
	s.conn, s.manual, s.feed = conn, r.Manual, nil
	s.SetWho(r.Who)
	resumed = s.known
	s.known = true
	return s.rotate(r), resumed, true
}

// opensFor reports whether r may take this session up: its user must be the
// session's, and where there is no name to select it, the secret does. A fresh
// session has no secret yet.
func (s *Session) opensFor(r Request) bool {
	realm, user := r.Who.Owner()
	if realm != s.owner.realm || user != s.owner.user || s.index == removed {
		return false
	}
	return !s.known || (s.owner.name != "" && r.Name == s.owner.name) || s.selectedBy(r)
}

func (s *Session) selectedBy(r Request) bool {
	hash := hashSecret(r.Secret)
	good := subtle.ConstantTimeCompare(hash[:], s.secrets[0][:]) | subtle.ConstantTimeCompare(hash[:], s.secrets[1][:])
	return good == 1 && r.Secret != ""
}

// rotate makes the next secret. The one that the client used stays good until
// its successor was used, since the answer that carries it may get lost. Who comes by
// the name alone may be another client than the one that has them: none of these stays
// good.
func (s *Session) rotate(r Request) string {
	text, hash := newSecret()
	var used secretHash // of no secret
	if s.selectedBy(r) {
		used = hashSecret(r.Secret)
	}
	s.secrets = [2]secretHash{hash, used}
	return text
}

// Selects reports whether r names this session as its user's, and by the right
// secret.
func (s *Session) Selects(r Request) bool { return s.known && s.opensFor(r) && s.selectedBy(r) }

// Conn returns the connection that the session has at the moment, or nil.
func (s *Session) Conn() Conn { return s.conn }

// Reading reports whether what a subscription lacks is just being read from the log.
func (s *Session) Reading() bool {
	return slices.ContainsFunc(s.subs, func(sub *subscription) bool { return sub.reading })
}

// SetWho changes who the client is. Subscriptions are not judged again; see Become.
func (s *Session) SetWho(who *broker.Who) { s.who = who }

// Become changes who the client is, and ends the subscriptions that this one may
// not have.
func (s *Session) Become(who *broker.Who) {
	s.SetWho(who)
	s.judge()
}

// Detach takes conn away if it is the session's connection: it is lost, or the
// client has closed it. What is not acknowledged will be sent again.
func (s *Session) Detach(conn Conn) {
	if s.conn != conn {
		return // another has taken its place
	}
	s.conn, s.who = nil, nil
	for _, sub := range s.subs {
		sub.stop()
	}
	if s.feed != nil {
		s.feed.stop()
	}
	s.lowerPlaces(broker.Away)
	s.detachedAt = s.part.manager.uptime()
	s.touch()
}

// dismiss takes the connection away and says farewell to the client.
func (s *Session) dismiss(code string, retry time.Duration) {
	conn := s.conn
	s.Detach(conn)
	conn.Bye(code, retry)
}

// touch says to the engine that a named session was seen.
func (s *Session) touch() {
	if s.owner.name != "" {
		s.seen = s.part.manager.uptime()
		s.part.moves = append(s.part.moves, engine.CursorMove{Key: engine.SessionKey(s.id)})
	}
}

// Writable is called by the connection when it takes more. Another subscription
// is the first each time, so that none takes all the room for itself.
func (s *Session) Writable() {
	if s.feed != nil {
		s.feed.pump()
	}
	for i := range s.subs {
		s.subs[(int(s.turn)+i)%len(s.subs)].pump()
	}
	s.turn++
}

// tick ends the session when its time has come, and the connection when an
// identity has expired.
func (s *Session) tick(now time.Time) {
	up := now.Sub(s.part.manager.start)
	switch {
	case s.conn == nil:
		if up-s.detachedAt >= s.ttl() && !s.part.isSaving(s) && s.part.manager.remove(s, up) {
			s.part.drop(s)
		}
	case s.who.Expired(now):
		s.dismiss(ByeUnauthorized, 0)
	case s.who.At(now) != s.who:
		s.Become(s.who.At(now))
	case s.seen == 0 || up-s.seen >= s.part.manager.limits.DurableTTL/100:
		s.touch() // or a quiet client's session would expire under it
	}
}

// ttl is for how long the session waits in memory. The client of a feed says where
// it stands when it comes back, and does not know the session. One that has no
// subscription keeps nothing, and is in no quota: nobody is to fill the table with
// such sessions.
func (s *Session) ttl() time.Duration {
	limits := &s.part.manager.limits
	switch {
	case s.feed != nil:
		return 0
	case s.owner.name == "" && len(s.subs) == 0:
		return min(limits.TTL, limits.EmptyTTL)
	default:
		return limits.TTL
	}
}

// find returns the subscription of a channel, or nil, and where it stands or
// would stand in subs.
func (s *Session) find(name channel.Name) (sub *subscription, at int) {
	at, ok := slices.BinarySearchFunc(s.subs, name, func(sub *subscription, name channel.Name) int {
		return strings.Compare(string(sub.name), string(name))
	})
	if !ok {
		return nil, at
	}
	return s.subs[at], at
}

func (s *Session) add(name channel.Name) *subscription {
	sub, at := s.find(name)
	if sub == nil {
		sub = &subscription{session: s, name: name}
		sub.Subscriber = sub
		s.subs = slices.Insert(s.subs, at, sub)
	}
	return sub
}

func (s *Session) remove(sub *subscription) {
	sub.stop()
	if found, at := s.find(sub.name); found == sub {
		s.leave(sub)
		s.subs = slices.Delete(s.subs, at, at+1)
	}
}
