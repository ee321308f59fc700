package session

import (
	"cmp"
	"slices"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/hub"
	"github.com/orbitd/orbitd/pkg/message"
)

// feedMessages bounds what one step of a feed that catches up brings.
const feedMessages = 256

// A Marker is a Conn whose client keeps one position for all channels.
type Marker interface {
	Conn
	// Mark says that everything up to p was sent, on all channels.
	Mark(p message.Position)
}

// A feed is several channels with one position for all of them. It sends all
// messages, replayed ones and live ones, in the order of their offsets, and
// offsets are one sequence over the engine in whose order messages become
// visible: so when everything up to an offset was sent, that offset is where the
// client stands on each of the channels.
//
// It has no window, for its client acknowledges nothing: what the connection
// takes counts as such. It falls behind and catches up as one. It is owned by the
// session's loop.
type feed struct {
	session *Session
	marker  Marker
	lanes   []*lane
	at      message.Position // everything up to here was sent
	told    message.Position // the last position that the client has learned

	trusted bool // at is known to belong to this history
	started bool
	live    bool // lanes are handed messages as they commit
	reading bool // a read of the log is under way
	life    uint32
	turn    []hub.Run // delivered in this turn, not yet in order
}

// A lane is one channel of a feed.
type lane struct {
	hub.Subscription
	feed *feed
	name channel.Name
}

// Follow makes channels the session's only ones: a feed, which has one position
// for all of them. The session ends with its connection. Nothing is sent before
// Start.
func (s *Session) Follow(channels []channel.Name, start Start, marker Marker) []Result {
	f := &feed{session: s, marker: marker}
	s.feed = f
	results := make([]Result, len(channels))
	var visible message.Position
	for i, name := range channels {
		results[i].Channel = name
		if results[i].Err = s.mayFollow(name); results[i].Err == nil {
			results[i].Err = f.enter(name)
		}
		if results[i].Err == nil {
			visible = f.join(name)
		}
	}
	for i := range results {
		if results[i].Err == nil {
			results[i].Offset = visible.Offset
		}
	}
	f.begin(start, visible)
	return results
}

// Following reports whether the session's channels are those of a feed.
func (s *Session) Following() bool { return s.feed != nil }

// Position returns the last position that a feed's client has learned, if it has
// any.
func (s *Session) Position() (p message.Position, ok bool) {
	if s.feed == nil {
		return p, false
	}
	return s.feed.told, s.feed.told.Offset > 0
}

func (s *Session) mayFollow(name channel.Name) error {
	if limit := s.part.manager.limits.Channels; len(s.feed.lanes) >= limit {
		return message.Errorf(message.TooLarge, "the session has %d channels already (session.max_channels)", limit)
	}
	return s.may(name)
}

func (f *feed) join(name channel.Name) message.Position {
	l := &lane{feed: f, name: name}
	l.Subscriber = l
	f.lanes = append(f.lanes, l)
	return f.session.part.join(&l.Subscription, name, f.marker.Format())
}

// begin sets where the feed stands. Without a start that is where the engine was
// after the last lane had joined: what became visible before was there when the
// client came, and what comes after reaches all lanes.
func (f *feed) begin(start Start, visible message.Position) {
	f.at, f.trusted = visible, true
	if start.Given {
		f.at = start.After
		f.trusted = f.at.Epoch == visible.Epoch && f.at.Offset <= visible.Offset && f.at.Offset > 0
	}
}

// stop ends delivery.
func (f *feed) stop() {
	f.life++
	f.started, f.live, f.reading, f.turn = false, false, false, nil
	for _, l := range f.lanes {
		f.session.part.shard.Leave(&l.Subscription)
	}
	for len(f.lanes) > 0 {
		last := f.lanes[len(f.lanes)-1]
		f.lanes = f.lanes[:len(f.lanes)-1]
		f.leave(last.name)
	}
}

// enter takes a place in the application of a lane that is to be, unless there is
// one.
func (f *feed) enter(name channel.Name) error {
	if f.isIn(name.App()) {
		return nil
	}
	return f.session.part.manager.broker.Occupy(name, broker.NoPlace, broker.Connected)
}

// leave gives back the place of a lane that is no more, unless there are others.
func (f *feed) leave(name channel.Name) {
	if !f.isIn(name.App()) {
		_ = f.session.part.manager.broker.Occupy(name, broker.Connected, broker.NoPlace) // less is never refused
	}
}

func (f *feed) isIn(app string) bool {
	return slices.ContainsFunc(f.lanes, func(l *lane) bool { return l.name.App() == app })
}

func (f *feed) start() {
	f.started = true
	f.pump()
}

// Deliver takes a lane's next messages, until all lanes have been served in this
// turn; see hub.Subscriber.
func (l *lane) Deliver(_ *hub.Subscription, run hub.Run) bool {
	f := l.feed
	if !f.live || f.session.conn.Blocked() {
		f.fallBehind()
		return false
	}
	if len(f.turn) == 0 {
		f.session.part.feeds = append(f.session.part.feeds, f)
	}
	f.turn = append(f.turn, run)
	return true
}

// settle sends what the lanes were handed in this turn, all of which have been.
func (f *feed) settle() {
	runs := f.turn
	f.send(runs, message.MaxOffset)
	clear(runs)
	if f.turn = runs[:0]; cap(runs) > 4 {
		f.turn = nil
	}
}

// send sends runs of several channels in the order of their offsets, up to and
// with until. It changes runs.
func (f *feed) send(runs []hub.Run, until message.Offset) {
	first := func(a, b hub.Run) int { return cmp.Compare(a.Ends[0].Offset, b.Ends[0].Offset) }
	slices.SortFunc(runs, first)
	for len(runs) > 0 && runs[0].Ends[0].Offset <= until {
		bound := until
		if len(runs) > 1 {
			bound = min(until, runs[1].Ends[0].Offset-1)
		}
		head, rest := runs[0].Cut(bound)
		f.session.conn.Frames(head.Frames)
		f.session.part.count.add(head)
		f.at.Offset = head.Last()
		if len(rest.Ends) == 0 {
			runs = runs[1:]
			continue
		}
		i, _ := slices.BinarySearchFunc(runs[1:], rest, first) // its place among the others
		copy(runs, runs[1:1+i])
		runs[i] = rest
	}
	f.told = f.at
}

// mark moves the position and lets the client know, unless it does.
func (f *feed) mark(offset message.Offset) {
	f.at.Offset = offset
	if f.told != f.at {
		f.told = f.at
		f.marker.Mark(f.at)
	}
}

// judge ends the lanes that the rights in force do not allow, and the connection
// with the last of them.
func (f *feed) judge() {
	kept := make([]*lane, 0, len(f.lanes))
	for _, l := range f.lanes {
		err := f.session.may(l.name)
		if err == nil {
			kept = append(kept, l)
			continue
		}
		f.session.part.shard.Leave(&l.Subscription)
		f.session.conn.Revoked(l.name, message.AsError(err))
	}
	if len(kept) == len(f.lanes) {
		return
	}
	before := f.lanes
	f.lanes = kept
	for _, l := range before {
		if !l.Joined() {
			f.leave(l.name)
		}
	}
	f.life++ // what is being read has what is not allowed
	f.reading = false
	if len(kept) == 0 {
		f.session.dismiss(string(message.Forbidden), 0)
		return
	}
	f.pump()
}
