package checker

import (
	"fmt"
	"slices"
	"strings"
)

// A Verdict counts what was found. Examples tells of the first few faults.
type Verdict struct {
	Accepted, Delivered       int
	Lost, Repeated, Reordered int
	Phantom, Gapped           int
	Examples                  []string
}

const maxExamples = 20

// String is the verdict as one line.
func (v *Verdict) String() string {
	s := fmt.Sprintf("accepted=%d delivered=%d lost=%d repeated=%d reordered=%d", v.Accepted, v.Delivered, v.Lost, v.Repeated, v.Reordered)
	if v.Gapped > 0 {
		s += fmt.Sprintf(" gapped=%d", v.Gapped)
	}
	if v.Phantom > 0 {
		s += fmt.Sprintf(" phantom=%d", v.Phantom)
	}
	return s
}

// Err returns nil if the history holds what was promised, else an error with
// the verdict and examples. What proves nothing is an error as well: nothing
// accepted, nothing delivered.
func (v *Verdict) Err() error {
	switch {
	case v.Lost+v.Repeated+v.Reordered+v.Phantom > 0:
		return fmt.Errorf("%s\n%s", v, strings.Join(v.Examples, "\n"))
	case v.Accepted == 0 || v.Delivered == 0:
		return fmt.Errorf("%s: this history proves nothing", v)
	}
	return nil
}

func (v *Verdict) fault(counter *int, format string, args ...any) {
	*counter++
	if len(v.Examples) < maxExamples {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// A payload names what was published.
type payload struct {
	publisher string
	n         int64
}

// A truth is what a channel holds.
type truth struct {
	at       map[payload]uint64
	byOffset map[uint64]payload
}

// A reader is one subscriber of one channel.
type reader struct{ who, channel string }

// Check compares the parts of h.
func Check(h *History) *Verdict {
	v := &Verdict{Accepted: len(h.Accepted), Delivered: len(h.Deliveries)}
	channels := truths(h, v)
	deliveries := map[reader][]*Delivery{}
	for i := range h.Deliveries {
		d := &h.Deliveries[i]
		r := reader{d.Who, d.Channel}
		deliveries[r] = append(deliveries[r], d)
	}
	for _, r := range sortedReaders(deliveries) {
		checkOrder(v, r, deliveries[r])
	}
	gaps := map[reader][]Gap{}
	for _, g := range h.Gaps {
		r := reader{g.Who, g.Channel}
		gaps[r] = append(gaps[r], g)
	}
	for _, e := range expectations(h) {
		r := reader{e.Who, e.Channel}
		checkComplete(v, e, deliveries[r], gaps[r], channels[e.Channel])
	}
	return v
}

// truths collects what each channel holds: what was accepted, and what was
// delivered to anybody though its publisher has no answer. Two payloads at one
// offset, or one payload at two, cannot both be right.
func truths(h *History, v *Verdict) map[string]*truth {
	channels := map[string]*truth{}
	add := func(channel string, p payload, offset uint64, what string) {
		t := channels[channel]
		if t == nil {
			t = &truth{map[payload]uint64{}, map[uint64]payload{}}
			channels[channel] = t
		}
		known, again := t.at[p]
		other, taken := t.byOffset[offset]
		switch {
		case again && known != offset:
			v.fault(&v.Phantom, "phantom: %s %v is %s at %d, and at %d", channel, p, what, offset, known)
		case taken && other != p:
			v.fault(&v.Phantom, "phantom: %s offset %d is %s with %v, and with %v", channel, offset, what, p, other)
		default:
			t.at[p], t.byOffset[offset] = offset, p
		}
	}
	for _, a := range h.Accepted {
		add(a.Channel, payload{a.Publisher, a.N}, a.Offset, "accepted")
	}
	for _, d := range h.Deliveries {
		if d.N < 1 {
			v.fault(&v.Phantom, "phantom: %s got %d on %s, which nobody published", d.Who, d.N, d.Channel)
			continue
		}
		add(d.Channel, payload{d.Publisher, d.N}, d.Offset, "delivered to "+d.Who)
	}
	checkFIFO(v, channels)
	return channels
}

// checkFIFO checks that each publisher's numbers stand in the order of offsets.
func checkFIFO(v *Verdict, channels map[string]*truth) {
	for channel, t := range channels {
		offsets := make([]uint64, 0, len(t.byOffset))
		for o := range t.byOffset {
			offsets = append(offsets, o)
		}
		slices.Sort(offsets)
		last := map[string]int64{}
		for _, o := range offsets {
			p := t.byOffset[o]
			if p.n < last[p.publisher] {
				v.fault(&v.Reordered, "reordered: %s has %v at %d, behind %d", channel, p, o, last[p.publisher])
			}
			last[p.publisher] = max(last[p.publisher], p.n)
		}
	}
}

// checkOrder finds repeats and what came behind a later one.
func checkOrder(v *Verdict, r reader, deliveries []*Delivery) {
	seen := make(map[payload]bool, len(deliveries))
	var newest uint64
	for _, d := range deliveries {
		p := payload{d.Publisher, d.N}
		switch {
		case seen[p]:
			v.fault(&v.Repeated, "repeated: %s got %v of %s again, at %d", r.who, p, r.channel, d.Offset)
		case d.Offset < newest:
			v.fault(&v.Reordered, "reordered: %s got %v of %s at %d behind %d", r.who, p, r.channel, d.Offset, newest)
		}
		seen[p] = true
		newest = max(newest, d.Offset)
	}
}

// checkComplete finds what is missing, and what a gap told of.
func checkComplete(v *Verdict, e Expectation, deliveries []*Delivery, gaps []Gap, t *truth) {
	if t == nil {
		return
	}
	got := make(map[payload]bool, len(deliveries))
	for _, d := range deliveries {
		got[payload{d.Publisher, d.N}] = true
	}
	for p, offset := range t.at {
		switch {
		case got[p] || offset <= e.From:
		case slices.ContainsFunc(gaps, func(g Gap) bool { return g.After < offset && offset <= g.To }):
			v.Gapped++
		default:
			v.fault(&v.Lost, "lost: %s did not get %v of %s at %d", e.Who, p, e.Channel, offset)
		}
	}
}

// expectations returns what was declared, or all of every channel for everybody
// who is known.
func expectations(h *History) []Expectation {
	if len(h.Expected) > 0 {
		return h.Expected
	}
	who, channels := map[string]bool{}, map[string]bool{}
	for _, a := range h.Accepted {
		channels[a.Channel] = true
	}
	for _, d := range h.Deliveries {
		who[d.Who], channels[d.Channel] = true, true
	}
	for _, g := range h.Gaps {
		who[g.Who] = true
	}
	var all []Expectation
	for w := range who {
		for c := range channels {
			all = append(all, Expectation{Who: w, Channel: c})
		}
	}
	return all
}

func sortedReaders(m map[reader][]*Delivery) []reader {
	readers := make([]reader, 0, len(m))
	for r := range m {
		readers = append(readers, r)
	}
	slices.SortFunc(readers, func(a, b reader) int {
		return strings.Compare(a.channel+"\n"+a.who, b.channel+"\n"+b.who)
	})
	return readers
}
