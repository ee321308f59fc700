package stomp_test

import (
	"bytes"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// member subscribes to /team/a as a consumer of a group.
func (s *site) member(more string) *client {
	s.t.Helper()
	c := s.alice("1.2", "")
	c.subscribe("ack:client-individual\ngroup:workers\n" + more)
	return c
}

// Each message of a group's channel goes to one consumer: to the one with most room.
// What one has not acknowledged when it goes is for the others, before what is newer;
// and what nobody has, waits, also over a restart.
func TestGroup(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.alice("1.2", "p")
	workers := []*client{s.member("prefetch-count:2\n"), s.member("prefetch-count:2\n"), s.member("prefetch-count:2\n")}
	for n := range 6 {
		p.publish(n)
	}
	var all []string
	held := make([][]frame.Frame, 3)
	for i, w := range workers {
		for range 2 {
			f := w.the(frame.Message)
			if f.Text("redelivered") != "" {
				t.Errorf("%q", f.Headers)
			}
			held[i] = append(held[i], f)
			all = append(all, string(f.Body))
		}
	}
	if slices.Sort(all); !slices.Equal(all, []string{"0", "1", "2", "3", "4", "5"}) {
		t.Fatalf("the consumers have %v", all)
	}
	p.publish(6, 7, 8)
	for _, w := range workers {
		w.nothing() // nobody has room
	}
	workers[0].Close()
	workers[1].ack("ACK", held[1]...)
	two := []frame.Frame{workers[1].the(frame.Message), workers[1].the(frame.Message)}
	workers[2].ack("ACK", held[2]...)
	two = append(two, workers[2].the(frame.Message), workers[2].the(frame.Message))
	for _, f := range two { // of six, of which some may have been on their way when the first had gone
		again := bytes.Equal(f.Body, held[0][0].Body) || bytes.Equal(f.Body, held[0][1].Body)
		if again != (f.Text("redelivered") == "true") {
			t.Errorf("%q %s", f.Headers, f.Body)
		}
	}
	workers[1].bye()
	workers[2].bye()

	s.restart()
	w := s.member("after:0\n")
	w.got(string(held[0][0].Body), true)
	w.got(string(held[0][1].Body), true)
	six := w.the(frame.Message)
	w.the(frame.Message)
	eight := w.the(frame.Message)
	if string(six.Body) != "6" || string(eight.Body) != "8" {
		t.Fatalf("%s and %s, not 6 and 8", six.Body, eight.Body)
	}
	w.ack("ACK", eight, six)
	w.bye()
	w = s.member("")
	w.got(string(held[0][0].Body), true)
	w.got(string(held[0][1].Body), true)
	seven := w.got(7, true)
	w.nothing()
	s.alice("1.2", "p").publish(9)
	w.got(9, false)
	w.ack("ACK", seven)
}

// What one consumer refuses goes to any, and after too many refusals, by whomever, to
// the dead messages.
func TestGroupRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one := s.member("prefetch-count:1\n")
	p := s.alice("1.2", "p")
	p.subscribe("") // a subscriber beside it has all of them
	p.publish("poison", "good")
	poison := one.got("poison", false)
	two := s.member("prefetch-count:2\n")
	good := two.got("good", false)
	one.ack("NACK", poison)
	two.ack("ACK", good)
	dead := s.alice("1.2", "dead")
	dead.say("SUBSCRIBE\nid:d\ndestination:/team/a/$dead\nreceipt:d\n\n\x00")
	dead.receipt("d")
	one.bye()
	two.bye()
	w := s.member("")
	for range 2 {
		w.ack("NACK", w.got("poison", true))
	}
	if f := dead.got("poison", false); f.Text("dead-reason") != "refused 3 times" {
		t.Errorf("%q", f.Headers)
	}
	w.nothing()
	p.got("poison", false)
	p.got("good", false)
	p.publish("next")
	w.got("next", false)
}

// Who ends a group ends it for all; nobody shares what is not theirs to share.
func TestGroupEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	one, two := s.member(""), s.member("")
	one.say("UNSUBSCRIBE\nid:s\ndurable:true\nreceipt:u\n\n\x00")
	one.receipt("u")
	two.refused("was ended")
	one.publish("lost")
	w := s.member("")
	w.nothing()
	w.say("UNSUBSCRIBE\nid:s\nreceipt:u\n\n\x00")
	w.receipt("u")
	w.publish("kept")
	w.subscribe("ack:client-individual\ngroup:workers\n")
	w.got("kept", false)

	c := s.dial().connected("1.2")
	c.say("SUBSCRIBE\nid:s\ndestination:/open/a\nack:client-individual\ngroup:g\nreceipt:r\n\n\x00")
	if f := c.refused("log in first"); f.Text("receipt-id") != "r" {
		t.Errorf("%q", f.Headers)
	}
	for _, mode := range []string{"auto", "client"} {
		c := s.alice("1.2", "")
		c.say("SUBSCRIBE\nid:s\ndestination:/team/a\nack:%s\ngroup:g\n\n\x00", mode)
		c.refused("ack:client-individual")
	}
}

// Many workers, each on its own connection, come and go with messages that they have
// not processed, while more are published: each is processed by one of them.
func TestGroupOfMany(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	total := 2000
	if testing.Short() {
		total = 400
	}
	s.member("").bye() // so that it is there before the first message
	processed := make(chan string, 2*total)
	var workers sync.WaitGroup
	for i := range 8 {
		workers.Go(func() {
			for s.work(40+10*i, processed) {
			}
		})
	}
	p := s.alice("1.2", "p")
	for n := range total {
		p.say("SEND\ndestination:/team/a\ncontent-type:text/plain\n\n%d\x00", n)
	}
	counts := map[string]int{}
	for len(counts) < total {
		select {
		case body := <-processed:
			counts[body]++
		case <-time.After(patience):
			t.Fatalf("%d of %d were processed", len(counts), total)
		}
	}
	p.publish("quit") // who gets it goes, and another gets it
	workers.Wait()
	close(processed)
	for body := range processed {
		counts[body]++
	}
	for body, n := range counts {
		if n > 1 { // no worker has gone before it had the receipt of its ACK
			t.Errorf("%s was processed %d times", body, n)
		}
	}
	w := s.member("")
	w.got("quit", true)
	w.nothing()
}

// work is a worker that processes so many messages, and goes with some that it has not
// processed. It reports whether another is to come.
func (s *site) work(n int, processed chan<- string) bool {
	c := s.member("prefetch-count:5\n")
	defer c.Close()
	for range n {
		f := c.the(frame.Message)
		if string(f.Body) == "quit" {
			return false
		}
		processed <- string(f.Body)
		c.ack("ACK", f)
	}
	return true
}
