package config

import (
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// lines holds the line of every key of a TOML document. The decoder does not
// give them away, and a message without its line is of little use in a file of
// a hundred rules. A key's path has its tables' names and, in an array, the
// index; see join.
type lines map[string]int

// maxPath bounds a path, in bytes: brackets nested in their thousands would
// otherwise take memory by the square of their number. No key of ours is as deep.
const maxPath = 4 << 10

// join returns the path of a key below another path.
func join(path, key string) string {
	if len(path)+len(key) > maxPath {
		return path
	}
	return path + "\x00" + key
}

// locate finds the lines in a document that the decoder has found to be valid.
// It therefore checks nothing itself, and reads on in whatever it is given.
func locate(text string) lines {
	l := &locator{text: text, line: 1, found: lines{}, count: map[string]int{}}
	l.document()
	return l.found
}

type locator struct {
	text  string
	at    int
	line  int
	found lines
	count map[string]int // elements so far of each array of tables
}

func (l *locator) document() {
	table := ""
	for l.blank(); l.at < len(l.text); l.blank() {
		start := l.at
		if l.peek() == '[' {
			table = l.header()
		} else {
			l.pair(table)
		}
		if l.at == start {
			l.at++
		}
	}
}

// header reads [table] or [[table]] and returns its path.
func (l *locator) header() string {
	l.at++
	array := l.peek() == '['
	if array {
		l.at++
	}
	line, keys := l.line, l.key()
	for l.peek() == ']' {
		l.at++
	}
	path := ""
	for i, key := range keys {
		path = join(path, key)
		l.note(path, line)
		if array && i == len(keys)-1 {
			l.count[path]++
		}
		if n := l.count[path]; n > 0 {
			path = join(path, strconv.Itoa(n-1))
		}
	}
	l.note(path, line)
	return path
}

// pair reads key = value below a table.
func (l *locator) pair(table string) {
	path, line := table, l.line
	for _, key := range l.key() {
		path = join(path, key)
		l.note(path, line)
	}
	if l.peek() == '=' {
		l.at++
	}
	l.value(path)
}

// note keeps the first line at which a path stands.
func (l *locator) note(path string, line int) {
	if _, ok := l.found[path]; !ok {
		l.found[path] = line
	}
}

func (l *locator) value(path string) {
	l.space()
	l.note(path, l.line)
	switch l.peek() {
	case '"', '\'':
		l.quotedText()
	case '[':
		l.at++
		for i := 0; l.more(']'); i++ {
			l.value(join(path, strconv.Itoa(i)))
		}
	case '{':
		l.at++
		for l.more('}') {
			l.pair(path)
		}
	default:
		l.until(",]}#\n")
	}
}

// more goes to the next element of an array or inline table, or past its end.
func (l *locator) more(end byte) bool {
	l.blank()
	for l.peek() == ',' {
		l.at++
		l.blank()
	}
	if l.peek() == end {
		l.at++
		return false
	}
	return l.at < len(l.text)
}

// key reads a key, which may be dotted, up to what follows it.
func (l *locator) key() []string {
	var keys []string
	for {
		l.space()
		start := l.at
		if c := l.peek(); c == '"' || c == '\'' {
			l.quotedText()
		} else {
			l.until(".=] \t\r\n")
		}
		keys = append(keys, unquote(l.text[start:l.at]))
		l.space()
		if l.peek() != '.' {
			return keys
		}
		l.at++
	}
}

func unquote(key string) string {
	if !strings.ContainsAny(key, `"'`) {
		return key
	}
	var v struct{ K string }
	if _, err := toml.Decode("K="+key, &v); err != nil {
		return key
	}
	return v.K
}

// quotedText reads a string in any of the four kinds of quotes.
func (l *locator) quotedText() {
	quote := l.text[l.at : l.at+1]
	escapes := quote == `"`
	end := quote
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(l.text[l.at:], triple) {
		end = triple
	}
	l.at += len(end)
	for l.at < len(l.text) && !strings.HasPrefix(l.text[l.at:], end) {
		if escapes && l.peek() == '\\' {
			l.step()
		}
		l.step()
	}
	l.at = min(l.at+len(end), len(l.text))
	// Up to two more quotes in front of the closing three belong to the text.
	for len(end) == 3 && l.peek() == quote[0] {
		l.at++
	}
}

// blank skips white space, newlines and comments.
func (l *locator) blank() {
	for l.at < len(l.text) {
		switch l.peek() {
		case ' ', '\t', '\r', '\n':
			l.step()
		case '#':
			l.until("\n")
		default:
			return
		}
	}
}

func (l *locator) space() {
	for l.peek() == ' ' || l.peek() == '\t' {
		l.at++
	}
}

func (l *locator) until(any string) {
	if n := strings.IndexAny(l.text[l.at:], any); n >= 0 {
		l.at += n
		return
	}
	l.at = len(l.text)
}

// step moves one byte on and counts lines.
func (l *locator) step() {
	if l.peek() == '\n' {
		l.line++
	}
	l.at = min(l.at+1, len(l.text))
}

func (l *locator) peek() byte {
	if l.at < len(l.text) {
		return l.text[l.at]
	}
	return 0
}
