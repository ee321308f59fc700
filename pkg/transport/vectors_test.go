package transport

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// vectors returns the lines of PROTOCOL.md's blocks of one kind.
func vectors(t testing.TB, kind string) (all []string) {
	t.Helper()
	text, err := os.ReadFile("../../PROTOCOL.md")
	must(t, err)
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			_, name, _ := strings.Cut(line, " ")
			if inside = !inside && name == kind; inside {
				all = append(all, "")
			}
		case inside:
			all = append(all, line)
		}
	}
	if len(all) == 0 {
		t.Fatalf("PROTOCOL.md has no vectors %q", kind)
	}
	return all[1:]
}

// TestDoorVectors makes the requests that PROTOCOL.md says are refused.
func TestDoorVectors(t *testing.T) {
	r := newRig(t, rigOptions{rules: "/chat/** * *\n/closed/** - -"})
	client := r.talk(way{}, nil).client
	for _, line := range vectors(t, "door") {
		f := strings.SplitN(line, " ", 5)
		body := ""
		if len(f) == 5 {
			body = f[4]
		}
		q, err := http.NewRequestWithContext(t.Context(), f[2], r.http+f[3], strings.NewReader(body))
		must(t, err)
		answer, err := client.Do(q)
		must(t, err)
		b, err := io.ReadAll(answer.Body)
		must(t, err)
		answer.Body.Close()
		want := fmt.Sprintf(`{"error":{"code":%q`, f[1])
		if strconv.Itoa(answer.StatusCode) != f[0] || !strings.HasPrefix(string(b), want) {
			t.Errorf("%s: %d %s", line, answer.StatusCode, b)
		}
	}
}

// TestTalkVectors plays what PROTOCOL.md shows of requests and their answers.
func TestTalkVectors(t *testing.T) {
	for block := range strings.SplitSeq(strings.Join(vectors(t, "talk"), "\n"), "\n\n") {
		r := newRig(t, rigOptions{})
		r.publish("/chat/lobby", map[string]string{"text": "hi"})
		p := player{t: t, r: r, client: r.talk(way{}, nil).client}
		lines := strings.Split(block, "\n")
		for len(lines) > 0 {
			lines = p.exchange(lines)
		}
	}
}

// A player plays the client's side of a talk.
type player struct {
	t               *testing.T
	r               *rig
	client          *http.Client
	session, secret string
	in              *bufio.Scanner // of the answer that goes on
}

// exchange makes one request and compares what is answered.
func (p *player) exchange(lines []string) (rest []string) {
	p.t.Helper()
	call, ok := strings.CutPrefix(lines[0], "> POST ")
	if !ok {
		p.t.Fatalf("%q is no request", lines[0])
	}
	lines = lines[1:]
	var body []string
	for len(lines) > 0 && strings.HasPrefix(lines[0], "> ") {
		body = append(body, lines[0][2:])
		lines = lines[1:]
	}
	q, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.r.http+call, strings.NewReader(strings.Join(body, "\n")))
	must(p.t, err)
	q.Header.Set(sessionHeader, p.session)
	q.Header.Set(secretHeader, p.secret)
	answer, err := p.client.Do(q)
	must(p.t, err)
	p.r.t.Cleanup(func() { answer.Body.Close() })
	status := strings.Fields(lines[0])
	if strconv.Itoa(answer.StatusCode) != status[1] || len(status) > 2 && answer.Header.Get("Content-Type") != status[2] {
		p.t.Fatalf("%s: %d %v, want %s", call, answer.StatusCode, answer.Header, lines[0])
	}
	if len(status) > 2 {
		p.in = bufio.NewScanner(answer.Body)
	}
	for lines = lines[1:]; len(lines) > 0 && strings.HasPrefix(lines[0], "< "); lines = lines[1:] {
		p.object(lines[0][2:])
	}
	return lines
}

func (p *player) object(want string) {
	p.t.Helper()
	if !p.in.Scan() {
		p.t.Fatalf("the answer ended, want %s: %v", want, p.in.Err())
	}
	got := decode(p.t, p.in.Text())
	if s, ok := got["session"].(string); ok {
		p.session, p.secret = s, got["secret"].(string)
	}
	for either := range strings.SplitSeq(want, " or ") {
		o := decode(p.t, either)
		if len(o) == len(got) && matches(got, o) {
			return
		}
	}
	p.t.Fatalf("got %v, want %s", got, want)
}

// matches compares values; the text "…" stands for any.
func matches(got, want any) bool {
	if want == "…" {
		return got != nil
	}
	w, ok := want.(map[string]any)
	if !ok {
		o, isObject := want.(object)
		if !isObject {
			return fmt.Sprint(got) == fmt.Sprint(want)
		}
		w = o
	}
	if o, ok := got.(object); ok {
		got = map[string]any(o)
	}
	g, ok := got.(map[string]any)
	if !ok || len(g) != len(w) {
		return false
	}
	for k := range w {
		if !matches(g[k], w[k]) {
			return false
		}
	}
	return true
}
