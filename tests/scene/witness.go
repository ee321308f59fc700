package scene

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/client"
	"github.com/orbitd/orbitd/pkg/message"
	"github.com/orbitd/orbitd/tests/checker"
)

// Channels are those that all publish to and subscribe.
var Channels = []channel.Name{"/kill/a", "/kill/b", "/kill/c"}

type body struct {
	N   int64  `json:"n"`
	Pad string `json:"pad,omitempty"`
}

// A Witness is one subscriber of all channels and what it was given. Its
// handlers run on one goroutine, which owns the history until the witness ended.
type Witness struct {
	Who    string
	Got    atomic.Int64 // deliveries so far
	Failed error        // what went wrong beside the messages

	// Running, if not nil, counts what is delivered, which then is not kept.
	Running *Running

	history checker.History
}

// Delivered notes a message.
func (w *Witness) Delivered(ch channel.Name, offset message.Offset, data []byte) {
	var b body
	if err := json.Unmarshal(data, &b); err != nil {
		w.Failed = fmt.Errorf("%s: payload %s: %w", w.Who, data, err)
	}
	w.Got.Add(1)
	if w.Running != nil {
		w.Running.take(w.Who, ch, b.N)
		return
	}
	w.history.Deliveries = append(w.history.Deliveries, checker.Delivery{Who: w.Who, Channel: string(ch), N: b.N, Offset: uint64(offset)})
}

// Gap notes that it was told of one.
func (w *Witness) Gap(ch channel.Name, after, to message.Offset) {
	w.history.Gaps = append(w.history.Gaps, checker.Gap{Who: w.Who, Channel: string(ch), After: uint64(after), To: uint64(to)})
	if w.Running != nil {
		w.Running.skip(ch)
	}
}

// Deliveries are the messages that it was given, in their order.
func (w *Witness) Deliveries() []checker.Delivery { return w.history.Deliveries }

// Gaps are those that it was told of.
func (w *Witness) Gaps() []checker.Gap { return w.history.Gaps }

// Attend runs a client by a way (one of Ways) until ctx ends.
func (w *Witness) Attend(ctx context.Context, way string, to Door, cut *Cutter) {
	if way == "websocket" {
		w.Listen(ctx, to, cut)
		return
	}
	w.Browse(ctx, way, to, cut)
}

// Listen runs a Go client until ctx ends. cut is given its connections.
func (w *Witness) Listen(ctx context.Context, to Door, cut *Cutter) {
	c, err := client.New(client.Options{URL: to.URL, TLS: to.Trusts, Dial: cut.Dial})
	if err != nil {
		w.Failed = err
		return
	}
	for _, ch := range Channels {
		err := c.Subscribe(client.Subscription{
			Channel: ch,
			From:    &message.Position{}, // from the oldest
			OnMessage: func(m *message.Message, _ message.Epoch, _ bool) {
				w.Delivered(m.Channel, m.Offset, m.Data)
			},
			OnGap: func(g client.Gap) { w.Gap(g.Channel, g.After, g.To) },
			OnEnd: func(e *message.Error) { w.Failed = e },
		})
		if err != nil {
			w.Failed = err
		}
	}
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		w.Failed = fmt.Errorf("%s: %w", w.Who, err)
	}
}
