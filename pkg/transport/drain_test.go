package transport

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// Who comes while the server drains is told so: those who begin by the answer to
// their handshake, those on their way to a session by its loop.
func TestDrainTellsLatecomers(t *testing.T) {
	r := newRig(t, rigOptions{})
	p := r.dial()
	o := p.connect("")
	home := r.partsInUse()
	late := r.dial()
	for range 100 { // until one is on the other loop: they fill evenly
		if len(r.partsInUse()) == 2 {
			break
		}
		late = r.dial()
	}
	for i := range home {
		part, done := r.server.parts[i], make(chan struct{})
		part.loop.Post(func() { part.drained = func(c client) { c.Bye(byeRestart, time.Second) }; close(done) })
		<-done
	}
	late.send(fmt.Sprintf(`{"id":1,"op":"connect","session":%q,"secret":%q}`, o["session"], o["secret"]))
	late.want(`{"bye":"map[code:restart retry:1000]"}`)

	r.server.Drain(time.Second)
	var status ws.StatusError
	if _, err := r.tryDial(); !errors.As(err, &status) || status != 503 {
		t.Errorf("a handshake while draining: %v", err)
	}
}

// partsInUse returns the numbers of the parts that have connections.
func (r *rig) partsInUse() map[int]bool {
	used := map[int]bool{}
	for i, part := range r.server.parts {
		done := make(chan struct{})
		part.loop.Post(func() {
			for range part.clients {
				used[i] = true
			}
			close(done)
		})
		<-done
	}
	return used
}
