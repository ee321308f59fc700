package checker

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// An Accepted is a publish that was answered: N is stored on Channel at Offset.
type Accepted struct {
	Channel   string
	Publisher string
	N         int64
	Offset    uint64
}

// A Delivery is one call of a subscriber's handler.
type Delivery struct {
	Who       string
	Channel   string
	Publisher string
	N         int64
	Offset    uint64
}

// A Gap is a range that a subscriber was told it will not get.
type Gap struct {
	Who       string
	Channel   string
	After, To uint64
}

// An Expectation is a subscription: Who is to get all of Channel behind From.
type Expectation struct {
	Who     string
	Channel string
	From    uint64
}

// A History is all that was seen. Deliveries of one (Who, Channel) stand in the
// order of their calls; nothing else is in order.
type History struct {
	Accepted   []Accepted
	Deliveries []Delivery
	Gaps       []Gap
	Expected   []Expectation
}

// line is the union of all kinds of lines.
type line struct {
	Accepted bool    `json:"accepted"`
	Expect   bool    `json:"expect"`
	Who      string  `json:"who"`
	By       string  `json:"by"`
	Channel  string  `json:"ch"`
	N        *int64  `json:"n"`
	Offset   *uint64 `json:"o"`
	From     uint64  `json:"from"`
	Gap      *struct {
		After uint64 `json:"after"`
		To    uint64 `json:"to"`
	} `json:"gap"`
}

// Read adds the lines of r to h. A line that is none of the four kinds is an
// error: a checker that passes over what it does not understand proves nothing.
func (h *History) Read(r io.Reader) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	for number := 1; scanner.Scan(); number++ {
		if len(scanner.Bytes()) == 0 {
			continue
		}
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if err := h.add(&l); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
	}
	return scanner.Err()
}

func (h *History) add(l *line) error {
	numbered := l.N != nil && l.Offset != nil
	switch {
	case l.Channel == "":
		return fmt.Errorf("no channel")
	case l.Accepted && numbered:
		h.Accepted = append(h.Accepted, Accepted{l.Channel, l.By, *l.N, *l.Offset})
	case l.Who == "":
		return fmt.Errorf("neither an accepted publish nor a subscriber's line")
	case l.Expect:
		h.Expected = append(h.Expected, Expectation{l.Who, l.Channel, l.From})
	case l.Gap != nil:
		h.Gaps = append(h.Gaps, Gap{l.Who, l.Channel, l.Gap.After, l.Gap.To})
	case numbered && !l.Accepted:
		h.Deliveries = append(h.Deliveries, Delivery{l.Who, l.Channel, l.By, *l.N, *l.Offset})
	default:
		return fmt.Errorf("neither a delivery nor a gap nor an expectation")
	}
	return nil
}
