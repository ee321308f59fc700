package stomp_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/admin"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
)

// counted waits until /metrics says so, a metric a line: what the loops count is a tick
// old.
func (s *site) counted(lines ...string) {
	s.t.Helper()
	var text string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get("http://" + s.address("ops") + "/metrics")
		must(s.t, err)
		all, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		must(s.t, err)
		text = string(all)
		missing := false
		for _, line := range lines {
			missing = missing || !strings.Contains(text, "\norbitd_stomp_"+line+"\n")
		}
		if !missing {
			return
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "orbitd_stomp") {
			s.t.Log(line)
		}
	}
	s.t.Fatalf("these are not all: %q", lines)
}

// held is what there is of durable subscriptions and groups, connected and not, and of
// consumers.
func (s *site) held(durable, durableDetached, groups, groupsDetached, consumers int) {
	s.t.Helper()
	s.counted(
		fmt.Sprintf(`durable_subscriptions{state="connected"} %d`, durable),
		fmt.Sprintf(`durable_subscriptions{state="detached"} %d`, durableDetached),
		fmt.Sprintf(`groups{state="connected"} %d`, groups),
		fmt.Sprintf(`groups{state="detached"} %d`, groupsDetached),
		fmt.Sprintf(`group_members %d`, consumers),
	)
	want := admin.STOMP{Durable: durable + durableDetached, DurableConnected: durable, Groups: groups + groupsDetached, GroupsConnected: groups, Consumers: consumers}
	if got := s.Status().STOMP; got != want {
		s.t.Errorf("status: %+v, want %+v", got, want)
	}
}

// What is stored for STOMP clients, and what becomes of messages, is counted, also
// behind a restart.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.configure(strings.Replace(configuration, `ops     = ""`, `ops     = "127.0.0.1:0"`, 1))
	s.restart()
	s.held(0, 0, 0, 0, 0)
	s.counted("unacknowledged_messages 0", "redelivered_messages_total 0", "dead_messages_total 0")
	c := s.alice("1.2", "group") // is not mistaken for one
	c.subscribe("ack:client-individual\ndurable:true\n")
	other := s.alice("1.2", "x")
	other.subscribe("durable:true\n")
	workers := []*client{s.member(""), s.member("prefetch-count:1\n")}
	s.held(2, 0, 1, 0, 2)
	c.publish("poison", "good") // of the group's, each of both has one
	s.counted("unacknowledged_messages 4")
	poison := c.got("poison", false)
	good := c.got("good", false)
	for range 2 {
		c.ack("NACK", poison)
		poison = c.got("poison", true)
	}
	s.counted("unacknowledged_messages 4", "redelivered_messages_total 2", "dead_messages_total 0")
	c.ack("NACK", poison)
	s.counted("unacknowledged_messages 3", "redelivered_messages_total 2", "dead_messages_total 1")
	c.ack("ACK", good)
	s.counted("unacknowledged_messages 2")
	for _, w := range workers {
		w.the(frame.Message)
		w.Close()
	}
	s.counted("unacknowledged_messages 0")
	other.bye()
	s.held(1, 1, 0, 1, 0)

	s.restart()
	s.held(0, 2, 0, 1, 0)
	for left, end := range []string{"SUBSCRIBE\nid:s\ndestination:/team/a\ndurable:true\n\n\x00", ""} { // on the connection, and not
		c = s.alice("1.2", []string{"x", "group"}[left])
		c.say(end + "UNSUBSCRIBE\nid:s\ndurable:true\nreceipt:u\n\n\x00")
		c.the(frame.Receipt)
		s.held(0, 1-left, 0, 1, 0)
	}
	s.advance(31 * 24 * time.Hour)
	s.held(0, 0, 0, 0, 0)
}
