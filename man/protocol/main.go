// Command protocol makes the manual page orbitd-protocol(7) of PROTOCOL.md, which it
// reads from standard input:
//
//	go run ./man/protocol <PROTOCOL.md >orbitd-protocol.7
//
// It knows the Markdown that is written there: headings, paragraphs, lists of one
// level, tables, fenced blocks, code, strong and emphasized text. A table becomes a
// list of its rows, which needs no width.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

const head = `.TH ORBITD-PROTOCOL 7 2026-11-27 "orbitd 0.1" "Protocols"
.SH NAME
orbitd\-protocol \- what clients and back ends say to orbitd
.SH DESCRIPTION
`

const foot = `.SH SEE ALSO
.BR orbitd (8),
.BR orbitd.toml (5)
`

func main() {
	text, err := io.ReadAll(os.Stdin)
	if err == nil {
		out := bufio.NewWriter(os.Stdout)
		out.WriteString(Page(string(text)))
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "protocol:", err)
		os.Exit(1)
	}
}

// Page returns the manual page of a Markdown text.
func Page(text string) string {
	p := &page{}
	p.WriteString(head)
	p.blocks(strings.Split(strings.TrimSpace(text), "\n"))
	p.WriteString(foot)
	return p.String()
}

// A page is what has been written, and whether the next paragraph needs no macro
// before it, since a heading is there.
type page struct {
	strings.Builder
	fresh bool
}

var (
	item = regexp.MustCompile(`^(-|\d+\.) +(.*)`)
	code = regexp.MustCompile("`([^`]*)`")
	bold = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	slim = regexp.MustCompile(`(^|[\s(])\*([^*\s][^*]*)\*`)
)

// blocks writes lines of Markdown, each block of them as a whole.
func (p *page) blocks(lines []string) {
	p.fresh = true
	for len(lines) > 0 {
		line := lines[0]
		n := 1
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "# "):
		case strings.HasPrefix(line, "#"):
			level, title, _ := strings.Cut(line, " ")
			p.macro(map[string]string{"##": "SH", "###": "SS"}[level], title)
			p.fresh = true
		case strings.HasPrefix(line, "```"):
			n = 1 + until(lines[1:], func(l string) bool { return l == "```" })
			p.fenced(strings.TrimPrefix(line, "```"), lines[1:n])
			n++ // the fence
		case strings.HasPrefix(line, "|"):
			n = until(lines, func(l string) bool { return !strings.HasPrefix(l, "|") })
			p.table(lines[:n])
		case item.MatchString(line):
			n = 1 + until(lines[1:], func(l string) bool { return !strings.HasPrefix(l, "  ") })
			m := item.FindStringSubmatch(strings.Join(lines[:n], " "))
			if m[1] == "-" {
				m[1] = `\(bu`
			}
			fmt.Fprintf(p, ".IP %s 4\n", m[1])
			p.text(m[2])
			p.fresh = false
		default:
			n = until(lines, func(l string) bool { return l == "" || strings.HasPrefix(l, "```") })
			p.paragraph()
			p.text(strings.Join(lines[:n], " "))
		}
		lines = lines[min(n, len(lines)):]
	}
}

// until returns how many lines there are before one that ends.
func until(lines []string, ends func(string) bool) int {
	for i, l := range lines {
		if ends(l) {
			return i
		}
	}
	return len(lines)
}

func (p *page) paragraph() {
	if !p.fresh {
		p.WriteString(".PP\n")
	}
	p.fresh = false
}

func (p *page) macro(name, title string) { fmt.Fprintf(p, ".%s %s\n", name, escape(title)) }

// fenced writes a block as it stands; kind is what its fence says.
func (p *page) fenced(kind string, lines []string) {
	p.paragraph()
	if _, name, found := strings.Cut(kind, " "); found {
		fmt.Fprintf(p, ".I %s:\n", name)
		p.paragraph()
	}
	p.WriteString(".nf\n")
	for _, l := range lines {
		p.WriteString(protect(escape(strings.ReplaceAll(l, "-", "\x00"))) + "\n")
	}
	p.WriteString(".fi\n")
}

// table writes each row as an item: its first cell, and below it the others.
func (p *page) table(lines []string) {
	for i, l := range lines {
		if i == 1 {
			continue // | --- | --- |
		}
		cells := strings.Split(strings.Trim(l, "| "), " | ")
		p.WriteString(".TP\n")
		for k, c := range cells {
			if k > 1 {
				p.WriteString(".br\n")
			}
			if i == 0 {
				c = "*" + c + "*"
			}
			if c == "" {
				c = "-"
			}
			p.text(c)
		}
	}
	p.fresh = false
}

const width = 78

// text writes a paragraph in lines that are not too long.
func (p *page) text(s string) {
	// Code first, and out of the way: a star in it is a star.
	var codes []string
	s = code.ReplaceAllStringFunc(s, func(c string) string {
		codes = append(codes, `\fB`+escape(strings.ReplaceAll(strings.Trim(c, "`"), "-", "\x00"))+`\fR`)
		return "\x01"
	})
	s = escape(s)
	s = bold.ReplaceAllString(s, `\fI$1\fR`)
	s = slim.ReplaceAllString(s, `$1\fI$2\fR`)
	for _, c := range codes {
		s = strings.Replace(s, "\x01", c, 1)
	}
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && len(line)+1+len(word) > width {
			p.WriteString(protect(line) + "\n")
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	p.WriteString(protect(line) + "\n")
}

// escape says what roff takes for itself otherwise. A zero byte stands for a hyphen
// that is one when it is copied from the page.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\\':
			b.WriteString(`\e`)
		case r == 0:
			b.WriteString(`\-`)
		case r > '~':
			fmt.Fprintf(&b, `\[u%04X]`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// protect keeps a line from being a command of roff.
func protect(line string) string {
	if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
		return `\&` + line
	}
	return line
}
