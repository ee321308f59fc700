package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// A document is one file in its raw form, and the problems found in it so far.
type document struct {
	file     string
	dir      string // what relative paths in it are relative to
	env      func(string) string
	lines    lines
	problems Problems
	warnings Problems
	named    []NamedFile
}

// A table is one TOML table while it is being read. Each of its readers asks
// for a key, checks the value and reports what is wrong with it; done reports
// the keys that nobody asked for.
type table struct {
	doc    *document
	path   string
	label  string // what stands before a key in messages
	values map[string]any
	asked  []string
}

// decode reads text as TOML. A syntax error is the document's only problem, for
// what comes after it cannot be trusted.
func (d *document) decode(text []byte) (*table, bool) {
	values := make(map[string]any)
	if _, err := toml.Decode(string(text), &values); err != nil {
		d.syntax(string(text), err)
		return nil, false
	}
	d.lines = locate(string(text))
	return &table{doc: d, values: values}, true
}

func (d *document) syntax(text string, err error) {
	p := Problem{File: d.file, Text: "not TOML: " + err.Error(), Hint: `check the quotes, the brackets and the "=" on this line`}
	if pe, ok := errors.AsType[toml.ParseError](err); ok {
		// The decoder's own line is one too many where a line ends too soon.
		before := text[:max(0, min(pe.Position.Start, len(text)))]
		p.Line, p.Text = 1+strings.Count(before, "\n"), "not TOML: "+pe.Message
		switch {
		case strings.Contains(pe.Message, "already"):
			p.Hint = "a key or a table may stand only once: remove one of them"
		case strings.Contains(pe.Message, "expected value"):
			p.Hint = `text stands in quotes, as in path = "/var/lib/orbitd"`
		}
	}
	d.problems = append(d.problems, p)
}

func (d *document) fail(line int, text, hint string) {
	d.problems = append(d.problems, Problem{d.file, line, text, hint})
}

// line returns the line of the table itself.
func (t *table) line() int { return t.doc.lines[t.path] }

func (t *table) lineOf(key string) int { return t.doc.lines[join(t.path, key)] }

// fail reports a problem with the value of a key.
func (t *table) fail(key, hint, format string, args ...any) {
	t.failAt(cmp.Or(t.lineOf(key), t.line()), key, hint, format, args...)
}

// failAt is fail for a value of which it is known where it stands.
func (t *table) failAt(line int, key, hint, format string, args ...any) {
	t.doc.fail(line, t.label+key+": "+fmt.Sprintf(format, args...), hint)
}

// noEffect notes that the value of a key is not looked at.
func (t *table) noEffect(key, hint, format string, args ...any) {
	t.warn(key, hint, "it has no effect: "+format, args...)
}

// warn notes what is no mistake, and that who has written it should know.
func (t *table) warn(key, hint, format string, args ...any) {
	t.doc.warnings = append(t.doc.warnings, Problem{
		File: t.doc.file, Line: cmp.Or(t.lineOf(key), t.line()),
		Text: t.label + key + ": " + fmt.Sprintf(format, args...), Hint: hint,
	})
}

// named notes that the value of a key is a file.
func (t *table) named(key, path string) {
	t.doc.named = append(t.doc.named, NamedFile{path, t.doc.file, cmp.Or(t.lineOf(key), t.line()), t.label + key})
}

func (t *table) get(key string) (any, bool) {
	t.asked = append(t.asked, key)
	v, ok := t.values[key]
	return v, ok
}

func (t *table) has(key string) bool {
	_, ok := t.values[key]
	return ok
}

// wrongType reports that the value of key is not what it should be.
func (t *table) wrongType(key, want, example string, got any) {
	t.fail(key, fmt.Sprintf("write %s = %s", key, example), "want %s, not %s", want, kindOf(got))
}

func kindOf(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("the text %q", v)
	case int64:
		return fmt.Sprintf("the number %d", v)
	case float64:
		return fmt.Sprintf("the number %v", v)
	case bool:
		return fmt.Sprintf("%t", v)
	case []any:
		return "a list"
	case map[string]any:
		return "a table"
	case []map[string]any:
		return "a list of tables"
	}
	return "a date or time"
}

// sub returns the table below a key, empty if there is none.
func (t *table) sub(key, label, example string) *table {
	s := &table{doc: t.doc, path: join(t.path, key), label: label}
	v, ok := t.get(key)
	if !ok {
		return s
	}
	if s.values, ok = v.(map[string]any); !ok {
		t.wrongType(key, "a table", example, v)
	}
	return s
}

// list returns the tables of an array of tables.
func (t *table) list(key string) []*table {
	v, ok := t.get(key)
	if !ok {
		return nil
	}
	elements, ok := tablesIn(v)
	if !ok {
		t.fail(key, fmt.Sprintf("write [[%s]] above each of them", key), "want tables, not %s", kindOf(v))
		return nil
	}
	tables := make([]*table, len(elements))
	for i, values := range elements {
		tables[i] = &table{doc: t.doc, path: join(join(t.path, key), strconv.Itoa(i)), values: values}
	}
	return tables
}

// tablesIn returns the tables of an array, in whichever of TOML's two forms it is
// written.
func tablesIn(v any) (tables []map[string]any, ok bool) {
	if tables, ok = v.([]map[string]any); ok {
		return tables, true
	}
	elements, ok := v.([]any)
	for _, e := range elements {
		inline, isTable := e.(map[string]any)
		tables, ok = append(tables, inline), ok && isTable
	}
	return tables, ok
}

// done reports the keys of the table that nobody asked for.
func (t *table) done() {
	for _, key := range slices.Sorted(maps.Keys(t.values)) {
		if slices.Contains(t.asked, key) {
			continue
		}
		hint := "known here: " + strings.Join(slices.Sorted(slices.Values(t.asked)), ", ")
		if name := nearest(key, t.asked); name != "" {
			hint = fmt.Sprintf("did you mean %q?", name)
		}
		t.fail(key, hint, "unknown key")
	}
}
