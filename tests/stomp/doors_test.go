package stomp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	orbit "github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/stomp/frame"
	"github.com/orbitd/orbitd/tests/checker"
	"github.com/orbitd/orbitd/tests/scene"
)

// Whatever door a message came by, all who read its channel get the same messages
// with the same offsets in the same order, by whatever door: while they are
// published, and later from the log.
func TestEveryDoor(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	const each = 40
	publishers := s.publishers(ctx, &running)
	total := len(publishers) * each
	live := s.readers(ctx, &running)
	var answered []func()
	for i, publish := range publishers { // none waits for an answer
		answered = append(answered, publish(i*each, each))
	}
	for _, wait := range answered {
		wait()
	}
	var want []checker.Delivery
	late := s.readers(ctx, &running)
	for name, read := range live {
		got := sorted(t, name, read(total))
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s has read others than the first: %v, not %v", name, got, want)
		}
		if late := sorted(t, name, late[name](total)); !slices.Equal(late, want) {
			t.Errorf("%s has read others from the log: %v, not %v", name, late, want)
		}
	}
	numbers := map[int64]bool{}
	for _, d := range want {
		numbers[d.N] = true
	}
	if len(numbers) != total {
		t.Errorf("%d messages of %d were read", len(numbers), total)
	}
}

// sorted brings what was read into the order of channels, in each of which it has to
// be in the order of offsets.
func sorted(t *testing.T, who string, all []checker.Delivery) []checker.Delivery {
	t.Helper()
	slices.SortStableFunc(all, func(a, b checker.Delivery) int { return strings.Compare(a.Channel, b.Channel) })
	for i := range all {
		all[i].Who = ""
		if i > 0 && all[i].Channel == all[i-1].Channel && all[i].Offset <= all[i-1].Offset {
			t.Errorf("%s: %v behind %v", who, all[i], all[i-1])
		}
	}
	return all
}

// A publish sends so many messages, numbered from the first on, and returns what
// waits until they are stored.
type publish func(from, count int) (stored func())

// channelOf spreads messages over the channels.
func channelOf(n int) channel.Name { return scene.Channels[n%len(scene.Channels)] }

// publishers returns one for each way to publish.
func (s *site) publishers(ctx context.Context, running *sync.WaitGroup) []publish {
	all := []publish{s.byRequests, s.byWebSocket(ctx, running), s.dialTLS().connected("1.2").sends, s.webSocket(7).connected("1.1").sends}
	for _, version := range versions {
		all = append(all, s.dial().connected(version).sends)
	}
	return all
}

// sends publishes the first half in a transaction.
func (c *client) sends(from, count int) func() {
	c.t.Helper()
	c.say("BEGIN\ntransaction:t\n\n\x00")
	for n := from; n < from+count; n++ {
		transaction := ""
		if n < from+count/2 {
			transaction = "transaction:t\n"
		}
		if n == from+count/2 {
			c.say("COMMIT\ntransaction:t\nreceipt:r\n\n\x00")
		}
		c.say("SEND\ndestination:%s\n%sreceipt:r\n\n{\"n\":%d}\x00", channelOf(n), transaction, n)
	}
	return func() {
		for range count + 1 {
			c.receipt("r")
		}
	}
}

// byRequests publishes the first half in requests of their own, the others in one.
func (s *site) byRequests(from, count int) func() {
	post := func(path, body string) {
		a, err := http.Post("http://"+s.address("http")+path, "application/json", strings.NewReader(body))
		must(s.t, err)
		if a.Body.Close(); a.StatusCode != http.StatusOK {
			s.t.Errorf("POST %s: %s", path, a.Status)
		}
	}
	defer http.DefaultClient.CloseIdleConnections()
	var lines strings.Builder
	for n := from; n < from+count; n++ {
		if n < from+count/2 {
			post("/v1/publish"+string(channelOf(n)), fmt.Sprintf(`{"n":%d}`, n))
			continue
		}
		fmt.Fprintf(&lines, `{"channel":%q,"data":{"n":%d}}`+"\n", channelOf(n), n)
	}
	post("/v1/publish", lines.String())
	return func() {}
}

func (s *site) byWebSocket(ctx context.Context, running *sync.WaitGroup) publish {
	c, err := orbit.New(orbit.Options{URL: "http://" + s.address("http")})
	must(s.t, err)
	running.Go(func() { _ = c.Run(ctx) }) // until the test's end
	return func(from, count int) func() {
		var answers sync.WaitGroup
		for n := from; n < from+count; n++ {
			answers.Add(1)
			p := orbit.Publication{Channel: channelOf(n), Data: fmt.Appendf(nil, `{"n":%d}`, n)}
			must(s.t, c.PublishAsync(ctx, p, func(_ orbit.Receipt, err error) {
				if err != nil {
					s.t.Error(err)
				}
				answers.Done()
			}))
		}
		return answers.Wait
	}
}

// A read waits until it has so many messages, and returns them as they came.
type read func(total int) []checker.Delivery

// readers returns those of each way to read, by name. They have begun.
func (s *site) readers(ctx context.Context, running *sync.WaitGroup) map[string]read {
	all := map[string]read{
		"STOMP with TLS":              s.dialTLS().connected("1.2").subscribed("client-individual"),
		"STOMP over WebSocket":        s.webSocket(1 << 20).connected("1.2").subscribed("auto"),
		"STOMP over WebSocket, acked": s.webSocket(100).connected("1.2").subscribed("client"),
	}
	for _, version := range versions {
		all["STOMP "+version] = s.dial().connected(version).subscribed("auto")
		all["STOMP "+version+", acked"] = s.dial().connected(version).subscribed("client")
	}
	for _, way := range scene.Ways {
		all[way] = s.attend(ctx, running, way, scene.Door{URL: "http://" + s.address("http")})
		all[way+" with TLS"] = s.attend(ctx, running, way, scene.Door{URL: "https://" + s.address("https"), Trusts: s.trusts.Clone(), Second: true})
	}
	return all
}

// attend reads as a witness of tests/scene does.
func (s *site) attend(ctx context.Context, running *sync.WaitGroup, way string, door scene.Door) read {
	w := &scene.Witness{Who: way}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	running.Go(func() {
		defer close(ended)
		w.Attend(ctx, way, door, new(scene.Cutter))
	})
	return func(total int) []checker.Delivery {
		for until := time.Now().Add(patience); int(w.Got.Load()) < total && time.Now().Before(until); {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
		<-ended
		must(s.t, w.Failed)
		return w.Deliveries()
	}
}

// subscribed subscribes all channels from the oldest message on.
func (c *client) subscribed(mode string) read {
	c.t.Helper()
	for i, name := range scene.Channels {
		c.say("SUBSCRIBE\nid:%d\ndestination:%s\nack:%s\nprefetch-count:20\nafter:0\nreceipt:s\n\n\x00", i, name, mode)
		c.receipt("s")
	}
	return func(total int) (got []checker.Delivery) {
		for len(got) < total {
			f := c.the(frame.Message)
			var body struct{ N int64 }
			must(c.t, json.Unmarshal(f.Body, &body))
			_, text, _ := strings.Cut(f.Text("message-id"), "-")
			offset, err := strconv.ParseUint(text, 10, 64)
			must(c.t, err)
			got = append(got, checker.Delivery{Channel: f.Text("destination"), N: body.N, Offset: offset})
			if mode != "auto" {
				c.say("ACK\n%s\n\x00", acked(c.decoder.Version.String(), f))
			}
		}
		return got
	}
}
