package stomp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// What a client refuses comes again until it was refused too often; then it is on
// the channel of dead messages, with the reason, and comes no more. The counts
// outlive connections and the daemon.
func TestRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.alice("1.2", "x")
	c.subscribe("ack:client-individual\ndurable:true\n")
	c.say("SEND\ndestination:/team/a\ncolour:blue\ndead-reason:forged\ncontent-type:text/plain\n\npoison\x00")
	c.publish("good")
	poison := c.got("poison", false)
	c.got("good", false)
	c.ack("NACK", poison)
	c.got("poison", true)
	c.bye()
	s.restart()
	c = s.alice("1.2", "x")
	c.subscribe("ack:client-individual\ndurable:true\n")
	again, good := c.got("poison", true), c.got("good", true)
	dead := s.alice("1.2", "dead")
	dead.say("SUBSCRIBE\nid:d\ndestination:/team/a/$dead\nack:client-individual\nreceipt:d\n\n\x00")
	dead.receipt("d")
	c.ack("NACK", again)
	again = c.got("poison", true)
	dead.nothing()
	c.say("NACK\nid:%s\nreason:cannot be parsed\n\n\x00", again.Text("ack"))
	f := dead.message("poison")
	if f.Text("dead-reason") != "refused 3 times: cannot be parsed" || f.Text("dead-destination") != "/team/a" ||
		f.Text("dead-message-id") != again.Text("message-id") || f.Text("colour") != "blue" || f.Text("user") != "alice" ||
		strings.Contains(f.Text("dead-reason"), "forged") {
		t.Errorf("%q", f.Headers)
	}
	c.nothing()
	c.ack("ACK", good)
	for range 5 { // a dead message dies no second time
		dead.ack("NACK", f)
		f = dead.got("poison", true)
	}
	c.bye()
	c = s.alice("1.2", "x")
	c.subscribe("ack:client-individual\ndurable:true\n")
	c.publish("next")
	c.got("next", false)
}

// Who only reads writes nothing: what is refused too often in a subscription that is not
// durable is not sent again there, and that is all. It makes room in the window.
func TestRefusedByReaders(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dead := s.alice("1.2", "dead")
	dead.say("SUBSCRIBE\nid:d\ndestination:/team/a/$dead\nreceipt:d\n\n\x00")
	dead.receipt("d")
	p := s.alice("1.2", "p")
	p.publish(1, 2, 3, 4)
	c := s.alice("1.2", "x")
	c.subscribe("after:0\nprefetch-count:2\nack:client-individual\n")
	one := c.got(1, false)
	c.got(2, false)
	for range 2 {
		c.ack("NACK", one)
		one = c.got(1, true)
	}
	c.ack("NACK", one)
	c.got(3, false)
	c = s.alice("1.2", "y")
	c.subscribe("after:0\nprefetch-count:2\nack:client\n")
	for n := range 3 {
		c.got(1, n > 0)
		c.ack("NACK", c.got(2, n > 0))
	}
	c.got(3, false)
	c.got(4, false)
	c.nothing()
	dead.nothing()
}

// Copies of what is refused count for the application's publish_rate: what is beyond it
// is sent again until there is room.
func TestRefusedBeyondTheRate(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure(configuration + "[app.team.quota]\npublish_rate = 3\n")
	s.restart()
	s.advance(0)
	c := s.alice("1.2", "x")
	c.subscribe("ack:client\ndurable:true\n")
	c.publish(1, 2, 3)
	for n := range 6 { // and what has come three times is beyond the rate each time
		c.got(1, n > 0)
		c.got(2, n > 0)
		last := c.got(3, n > 0)
		if n == 5 {
			s.advance(time.Second)
		}
		c.ack("NACK", last)
	}
	s.threeAreDead()
	c.nothing()
}

// A NACK is for all messages before, where an ACK is.
func TestRefusedCumulatively(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := s.alice("1.2", "x")
	c.subscribe("ack:client\ndurable:true\n")
	c.publish(1, 2, 3, 4)
	c.got(1, false)
	c.got(2, false)
	three := c.got(3, false)
	c.got(4, false)
	for range 2 {
		c.ack("NACK", three)
		c.got(1, true)
		c.got(2, true)
		c.got(3, true)
	}
	c.ack("NACK", three)
	s.threeAreDead()
	c.nothing()
	c.bye()
	c = s.alice("1.2", "x")
	c.subscribe("ack:client\ndurable:true\n")
	c.got(4, true)
	c.nothing()
}

// A client that goes while a message moves finds it in one of the two places.
func TestRefusedAndGone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dead := s.alice("1.2", "dead")
	dead.say("SUBSCRIBE\nid:d\ndestination:/team/a/$dead\nreceipt:d\n\n\x00")
	dead.receipt("d")
	for n := range 10 {
		for _, kind := range []string{"durable:true\n", "group:g\n"} {
			c := s.alice("1.2", "x")
			c.subscribe("ack:client-individual\n" + kind)
			c.publish(n)
			c.ack("NACK", c.got(n, false))
			c.ack("NACK", c.got(n, true))
			again := c.got(n, true)
			c.say("NACK\nid:%s\n\n\x00", again.Text("ack"))
			time.Sleep(time.Duration(n) * 100 * time.Microsecond) // at any point of its way
			c.say("DISCONNECT\n\n\x00")
			if _, err := c.next(); err == nil {
				t.Fatal("something behind DISCONNECT")
			}
			c = s.alice("1.2", "x")
			c.subscribe("ack:client-individual\n" + kind)
			c.say("SEND\ndestination:/team/a\ncontent-type:text/plain\n\nnext\x00")
			f := c.the(frame.Message)
			if string(f.Body) != "next" { // it has not moved
				dead.nothing()
				c.ack("NACK", f)
				f = c.got("next", false)
			}
			c.ack("ACK", f)
			dead.got(n, false)
			c.bye()
		}
		for _, kind := range []string{"durable:true\n", "group:g\n"} { // what the other has published
			c := s.alice("1.2", "x")
			c.say("SUBSCRIBE\nid:s\ndestination:/team/a\nack:client-individual\n%s\n\x00UNSUBSCRIBE\nid:s\ndurable:true\nreceipt:u\n\n\x00", kind)
			c.the(frame.Receipt)
			c.bye()
		}
	}
	dead.nothing()
}

// threeAreDead reads what the channel has of what nobody would take: 1, 2 and 3.
func (s *site) threeAreDead() {
	c := s.alice("1.2", "dead")
	c.say("SUBSCRIBE\nid:d\ndestination:/team/a/$dead\nafter:0\n\n\x00")
	for n := range 3 {
		c.got(n+1, false)
	}
}
