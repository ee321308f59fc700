package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Figures are one run's, by name. The verdict on the messages is among them.
type figures map[string]float64

// Names of figures that judge instead of measure.
const (
	lost     = "lost"
	repeated = "repeated"
	swapped  = "reordered"
)

func (s *site) judged(f figures) figures {
	f[lost], f[repeated], f[swapped] = float64(s.Lost), float64(s.Repeated), float64(s.Swapped)
	return f
}

// A row is one line of the table.
type row struct {
	Scenario string  `json:"scenario"`
	What     string  `json:"what"`
	Unit     string  `json:"unit"`
	Orbitd   float64 `json:"orbitd"`
	Other    float64 `json:"reference,omitempty"` // the bare loop's, if it has any
	Verdict  string  `json:"verdict,omitempty"`   // lost/repeated/reordered, of all passes

	// The floor: a ratio to the reference, or a figure of its own. 0 is none.
	Ratio float64 `json:"floor_ratio,omitempty"`
	Limit float64 `json:"floor,omitempty"`
	More  bool    `json:"more_is_better,omitempty"`
}

// met tells whether a row reaches its floor; there may be none.
func (r *row) met() (met, judged bool) {
	value, limit := r.Orbitd, r.Limit
	if r.Ratio > 0 {
		value, limit = r.Orbitd/r.Other, r.Ratio
	}
	if limit == 0 {
		return false, false
	}
	if r.More {
		return value >= limit, true
	}
	return value <= limit, true
}

// fill makes a scenario's rows of what was measured.
func fill(s scenario, own, other []figures) []row {
	verdict := ""
	if _, ok := own[0][lost]; ok {
		verdict = fmt.Sprintf("%.0f/%.0f/%.0f", total(own, lost), total(own, repeated), total(own, swapped))
	}
	rows := slices.Clone(s.rows)
	for i := range rows {
		r := &rows[i]
		r.Scenario, r.Verdict = s.name, verdict
		r.Orbitd, r.Other = median(own, r.What), median(other, r.What)
	}
	return rows
}

func total(runs []figures, name string) (sum float64) {
	for _, f := range runs {
		sum += f[name]
	}
	return sum
}

func median(runs []figures, name string) float64 {
	var values []float64
	for _, f := range runs {
		if v, ok := f[name]; ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// heads are the columns of the table.
var heads = []string{"scenario", "what", "orbitd", "reference", "ratio", "floor", "lost/repeated/reordered"}

func (r *row) cells() []string {
	return []string{
		r.Scenario, r.What + ", " + r.Unit, number(r.Orbitd), number(r.Other), ratio(r), floor(r), cmp.Or(r.Verdict, "-"),
	}
}

// print writes the table for people.
func print(w io.Writer, table []row) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(heads, "\t"))
	for i := range table {
		fmt.Fprintln(t, strings.Join(table[i].cells(), "\t"))
	}
	t.Flush()
}

// printMarkdown writes the table for a document; a scenario's name stands in its
// first row only.
func printMarkdown(w io.Writer, table []row) {
	line := func(cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	line(heads)
	line(slices.Repeat([]string{"---"}, len(heads)))
	for i := range table {
		cells := table[i].cells()
		if i > 0 && table[i].Scenario == table[i-1].Scenario {
			cells[0] = ""
		}
		line(cells)
	}
}

func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 100:
		return thousands(fmt.Sprintf("%.0f", v))
	}
	return fmt.Sprintf("%.3g", v)
}

func thousands(s string) string {
	var parts []string
	for len(s) > 3 {
		parts = append(parts, s[len(s)-3:])
		s = s[:len(s)-3]
	}
	parts = append(parts, s)
	slices.Reverse(parts)
	return strings.Join(parts, ",")
}

func ratio(r *row) string {
	if r.Other == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", r.Orbitd/r.Other)
}

func floor(r *row) string {
	met, judged := r.met()
	if !judged {
		return "-"
	}
	sign, word := "≤", "missed"
	if r.More {
		sign = "≥"
	}
	if met {
		word = "met"
	}
	if r.Ratio > 0 {
		return fmt.Sprintf("%s %g×: %s", sign, r.Ratio, word)
	}
	return fmt.Sprintf("%s %s: %s", sign, number(r.Limit), word)
}
