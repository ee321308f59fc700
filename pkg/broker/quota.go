package broker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A Quota bounds what one application uses. A zero field is no bound.
type Quota struct {
	Connections int // clients that are connected and have a subscription in it
	Sessions    int // and those that are away, too
	PublishRate int // messages a second, in the long run; as many at once
	Stored      int64
}

// quotas are the bounds of applications and what is used of them. What a reload
// bounds anew was counted before: sessions are counted by application whether or
// not there is a quota. An application is in the table for as long as a session
// has a place in it, so that names which clients make up do not pile up.
type quotas struct {
	now func() time.Time

	rates atomic.Pointer[map[string]*rate] // of applications with a PublishRate

	mu     sync.Mutex
	bounds map[string]Quota
	used   map[string]*usage
}

type usage struct{ connections, sessions int }

func newQuotas(now func() time.Time) *quotas {
	return &quotas{now: now, used: map[string]*usage{}}
}

// set puts other bounds in force. What an application has published lately still
// counts.
func (q *quotas) set(bounds map[string]Quota) {
	rates := make(map[string]*rate)
	before := q.rates.Load()
	for app, bound := range bounds {
		if bound.PublishRate == 0 {
			continue
		}
		r := &rate{app: app, limit: bound.PublishRate}
		if before != nil && (*before)[app] != nil {
			r.full.Store((*before)[app].full.Load())
		}
		rates[app] = r
	}
	q.rates.Store(&rates)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bounds = bounds
}

// A rate is how fast an application publishes: a bucket of as many messages as
// may come in a second. It costs one comparison and one exchange.
type rate struct {
	app   string
	limit int
	full  atomic.Int64 // when the bucket is full again, in Unix nanoseconds
}

// take counts n messages, or refuses all of them. What is more than the bucket has
// left goes through as long as there is something left, and what follows waits the
// longer: else a large batch could never be published.
func (r *rate) take(now time.Time, n int) bool {
	at, cost := now.UnixNano(), r.cost(n)
	for {
		full := r.full.Load()
		if full-at > int64(time.Second)-r.cost(1) {
			return false
		}
		if r.full.CompareAndSwap(full, max(full, at)+cost) {
			return true
		}
	}
}

// cost returns what n messages take of the bucket.
func (r *rate) cost(n int) int64 { return int64(n) * int64(time.Second) / int64(r.limit) }

// A charge is what messages of one application have taken, which stand together.
type charge struct {
	rate     *rate
	first, n int
}

// giveBack undoes charges for messages of which none is stored for certain, all but the
// one that was refused: so a batch that is tried again without it costs what it has, and
// to be refused is not free.
func giveBack(charges []charge, refused *message.Error) {
	if refused.Code == message.Unknown || refused.Code == message.Internal {
		return
	}
	for _, c := range charges {
		if i := refused.Index - c.first; 0 <= i && i < c.n {
			c.n--
		}
		c.rate.full.Add(-c.rate.cost(c.n))
	}
}

// publish counts messages by their applications, and appends what they have taken to
// charges. It says which of them is refused; then nothing is taken.
func (q *quotas) publish(msgs []message.Message, charges []charge) ([]charge, *message.Error) {
	rates := *q.rates.Load()
	if len(rates) == 0 {
		return charges, nil
	}
	now := q.now()
	for i := 0; i < len(msgs); {
		app, first := msgs[i].Channel.App(), i
		for i++; i < len(msgs) && msgs[i].Channel.App() == app; i++ {
		}
		r := rates[app]
		if r == nil {
			continue
		}
		if !r.take(now, i-first) {
			e := message.Errorf(message.RateLimited, "application %s publishes more than %d messages a second (app.%[1]s.quota.publish_rate)", app, r.limit)
			e.Index, e.RetryAfter = first, time.Second
			giveBack(charges, e)
			return charges[:0], e.Because(engine.ErrQuota)
		}
		charges = append(charges, charge{r, first, i - first})
	}
	return charges, nil
}

// A Place is what a session has in an application.
type Place uint8

// The places. A session has one in each application in which it has a
// subscription: Connected while it has a connection.
const (
	NoPlace Place = iota
	Away
	Connected
)

// Occupy changes a session's place in the channel's application. Only to take more
// than before may be refused; then it is Unavailable, and as it was. It may be
// called on any goroutine.
func (b *Broker) Occupy(name channel.Name, from, to Place) error {
	q, app := b.quotas, name.App()
	q.mu.Lock()
	defer q.mu.Unlock()
	u := q.used[app]
	if u == nil {
		u = &usage{}
	}
	bound := q.bounds[app]
	switch {
	case from == NoPlace && to != NoPlace && bound.Sessions > 0 && u.sessions >= bound.Sessions:
		return noPlace("application %s has %d sessions already (app.%[1]s.quota.sessions); try again later", app, u.sessions)
	case from != Connected && to == Connected && bound.Connections > 0 && u.connections >= bound.Connections:
		return noPlace("application %s has %d connections already (app.%[1]s.quota.connections); try again later", app, u.connections)
	}
	u.sessions += count(to != NoPlace) - count(from != NoPlace)
	u.connections += count(to == Connected) - count(from == Connected)
	if u.sessions > 0 {
		q.used[app] = u
	} else {
		delete(q.used, app)
	}
	return nil
}

func noPlace(format, app string, n int) error {
	return message.Errorf(message.Unavailable, format, app, n).Because(engine.ErrQuota)
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

// Used returns how many sessions have a subscription in an application, and how
// many of these are connected.
func (b *Broker) Used(app string) (connections, sessions int) {
	b.quotas.mu.Lock()
	defer b.quotas.mu.Unlock()
	if u := b.quotas.used[app]; u != nil {
		return u.connections, u.sessions
	}
	return 0, 0
}

// stored returns the bounds of what applications may store.
func stored(bounds map[string]Quota) map[string]int64 {
	sizes := make(map[string]int64)
	for app, bound := range bounds {
		if bound.Stored > 0 {
			sizes[app] = bound.Stored
		}
	}
	return sizes
}
