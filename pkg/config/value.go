package config

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// text reads a string.
func (t *table) text(key, fallback, example string) string {
	v, ok := t.get(key)
	if !ok {
		return fallback
	}
	s, ok := v.(string)
	if !ok {
		t.wrongType(key, "text", strconv.Quote(example), v)
		return fallback
	}
	return s
}

// flag reads true or false.
func (t *table) flag(key string, fallback bool) bool {
	v, ok := t.get(key)
	if !ok {
		return fallback
	}
	b, ok := v.(bool)
	if !ok {
		t.wrongType(key, "true or false", strconv.FormatBool(fallback), v)
		return fallback
	}
	return b
}

// choice reads a string that is one of a few.
func (t *table) choice(key, fallback string, choices ...string) string {
	s := t.text(key, fallback, cmp.Or(fallback, choices[0]))
	if slices.Contains(choices, s) {
		return s
	}
	hint := "write " + quoted(choices)
	if c := nearest(s, choices); c != "" {
		hint = fmt.Sprintf("did you mean %q?", c)
	}
	t.fail(key, hint, "unknown %s %q", key, s)
	return fallback
}

// An entry is one text of a list.
type entry struct {
	text string
	line int
}

// texts reads a list of strings; ok is false if there is none. Elements of
// another type are reported and left out.
func (t *table) texts(key, example string) (list []entry, ok bool) {
	v, ok := t.get(key)
	if !ok {
		return nil, false
	}
	elements, isList := v.([]any)
	if !isList {
		t.wrongType(key, "a list", fmt.Sprintf("[%q]", example), v)
		return nil, false
	}
	list = make([]entry, 0, len(elements))
	for i, e := range elements {
		line := t.doc.lines[join(join(t.path, key), strconv.Itoa(i))]
		s, isText := e.(string)
		if !isText {
			t.failAt(line, key, fmt.Sprintf("write %s = [%q]", key, example), "want a list of texts, and there is %s in it", kindOf(e))
			continue
		}
		list = append(list, entry{s, line})
	}
	return list, true
}

// number reads an integer from least to most.
func (t *table) number(key string, fallback, least, most int) int {
	v, ok := t.get(key)
	if !ok {
		return fallback
	}
	n, ok := v.(int64)
	switch {
	case !ok:
		t.wrongType(key, "a whole number", strconv.Itoa(max(fallback, least)), v)
		return fallback
	case n < int64(least) || n > int64(most):
		t.fail(key, fmt.Sprintf("write a number from %d to %d", least, most), "%d is out of range", n)
		return fallback
	}
	return int(n)
}

// duration reads a text such as "30d" or "1m30s", from least to most.
func (t *table) duration(key string, fallback, least, most time.Duration) time.Duration {
	v, ok := t.get(key)
	if !ok {
		return fallback
	}
	example := formatDuration(cmp.Or(fallback, 7*day))
	s, ok := v.(string)
	if !ok {
		t.wrongType(key, "a duration", strconv.Quote(example), v)
		return fallback
	}
	d, ok := ParseDuration(s)
	switch {
	case !ok:
		t.fail(key, fmt.Sprintf("write a number and a unit (ms, s, m, h, d, w), such as %q", example), "%q is not a duration", s)
		return fallback
	case d < least || d > most:
		t.fail(key, fmt.Sprintf("write a duration from %q to %q", formatDuration(least), formatDuration(most)), "%q is out of range", s)
		return fallback
	}
	return d
}

// size reads a text such as "64KiB", from least to most bytes.
func (t *table) size(key string, fallback, least, most int64) int64 {
	v, ok := t.get(key)
	if !ok {
		return fallback
	}
	example := formatSize(cmp.Or(fallback, gib))
	s, ok := v.(string)
	if !ok {
		t.wrongType(key, "a size", strconv.Quote(example), v)
		return fallback
	}
	n, ok := parseSize(s)
	switch {
	case !ok:
		t.fail(key, fmt.Sprintf("write a whole number and a unit (B, KiB, MiB, GiB, TiB), such as %q", example), "%q is not a size", s)
		return fallback
	case n < least || n > most:
		t.fail(key, fmt.Sprintf("write a size from %q to %q", formatSize(least), formatSize(most)), "%q is out of range", s)
		return fallback
	}
	return n
}

// sizeOrOff reads a size, or "off", which is 0.
func (t *table) sizeOrOff(key string, fallback, least, most int64) int64 {
	v, ok := t.get(key)
	switch {
	case !ok:
		return fallback
	case v == "off":
		return 0
	}
	s, _ := v.(string)
	n, ok := parseSize(s)
	if !ok || n < least || n > most {
		t.fail(key, fmt.Sprintf(`write a size from %q to %q, or "off"`, formatSize(least), formatSize(most)), "want a size, not %s", kindOf(v))
		return fallback
	}
	return n
}

type unit struct {
	name string
	size int64
}

// The units, larger ones first, but for those whose name another's begins with.
var (
	timeUnits = []unit{
		{"w", int64(7 * day)}, {"d", int64(day)}, {"h", int64(time.Hour)},
		{"ms", int64(time.Millisecond)}, {"m", int64(time.Minute)}, {"s", int64(time.Second)},
	}
	sizeUnits = []unit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}
)

// ParseDuration adds up numbers with units: "90s", "1m30s", "7d". ok is false for
// what is none.
func ParseDuration(s string) (d time.Duration, ok bool) {
	var sum int64
	for first := true; first || s != ""; first = false {
		n, rest, ok := parseUnit(s, timeUnits)
		if !ok || n > math.MaxInt64-sum {
			return 0, false
		}
		sum, s = sum+n, rest
	}
	return time.Duration(sum), true
}

func parseSize(s string) (int64, bool) {
	n, rest, ok := parseUnit(s, sizeUnits)
	return n, ok && rest == ""
}

// parseUnit reads digits and a unit from the front of s.
func parseUnit(s string, units []unit) (n int64, rest string, ok bool) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	n, err := strconv.ParseInt(s[:digits], 10, 64)
	if err != nil {
		return 0, "", false
	}
	for _, u := range units {
		if rest, found := strings.CutPrefix(s[digits:], u.name); found {
			return n * u.size, rest, n <= math.MaxInt64/u.size
		}
	}
	return 0, "", false
}

// formatDuration writes what ParseDuration reads, in the largest unit that fits.
func formatDuration(d time.Duration) string { return formatUnit(int64(d), timeUnits) }

func formatSize(n int64) string { return formatUnit(n, sizeUnits) }

func formatUnit(n int64, units []unit) string {
	best := units[len(units)-1]
	for _, u := range units {
		if n%u.size == 0 && n >= u.size && (u.size > best.size || n%best.size != 0) {
			best = u
		}
	}
	return strconv.FormatInt(n/best.size, 10) + best.name
}
