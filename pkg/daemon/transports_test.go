package daemon_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
)

// post sends commands on a connection that is kept.
func (k *kept) post(path, body string, header ...string) {
	k.t.Helper()
	var lines strings.Builder
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(&lines, "%s: %s\r\n", header[i], header[i+1])
	}
	_, err := fmt.Fprintf(k, "POST %s HTTP/1.1\r\nHost: here\r\nContent-Length: %d\r\n%s\r\n%s", path, len(body), lines.String(), body)
	must(k.t, err)
}

// One connection carries polls, calls and pages, one behind the other.
func TestPollsBetweenRequests(t *testing.T) {
	s := newSite(t, server+small+open)
	s.publish("/open/a", 200)
	k := s.keep(t)
	for range 3 {
		k.get("/orbit.js")
		k.post("/v1/poll?wait=0", `{"id":1,"op":"connect","last":{"/open/a":0}}`)
		k.answered(http.StatusOK)
		k.post("/v1/poll?wait=0", `{"id":1,"op":"connect","last":{"/open/a":0}}`)
		k.answered(http.StatusOK)
		k.get("/v1/history/open/a")
	}
}

// A stop tells those on every transport, and ends their connections.
func TestStopEndsStreams(t *testing.T) {
	s := newSite(t, server+small+open)
	var all []*kept
	for _, path := range []string{"/v1/stream", "/v1/sse", "/v1/poll?wait=55"} {
		k := s.keep(t)
		k.post(path, `{"id":1,"op":"connect","last":{"/open/a":0}}`)
		all = append(all, k)
	}
	k := s.keep(t)
	_, err := io.WriteString(k, "GET /v1/sse?channel=/open/a HTTP/1.1\r\nHost: here\r\n\r\n")
	must(t, err)
	all = append(all, k)
	for s.Clients() < len(all) {
		runtime.Gosched()
	}
	must(t, s.Stop(context.Background()))
	for i, k := range all {
		answer, err := http.ReadResponse(k.in, nil)
		must(t, err)
		text, err := io.ReadAll(answer.Body)
		must(t, err)
		if !strings.Contains(string(text), `{"bye":{"code":"restart","retry":`) {
			t.Errorf("connection %d: %d %s", i, answer.StatusCode, text)
		}
		if rest, err := io.ReadAll(k.in); err != nil || len(rest) > 0 {
			t.Errorf("connection %d goes on: %q, %v", i, rest, err)
		}
	}
}

// The log has the address of who could not log in: what a proxy says, if it is one
// of ours, and no word of anybody else.
func TestRefusedLoginIsLogged(t *testing.T) {
	for proxies, want := range map[string]string{
		`[]`:              "client=127.0.0.1",
		`["127.0.0.0/8"]`: "client=198.51.100.7",
	} {
		s := newSite(t, strings.Replace(server, "origins", "trusted_proxies = "+proxies+"\norigins", 1)+small+open)
		forwarded := []string{"X-Forwarded-For", "1.1.1.1, 198.51.100.7", "Authorization", "Bearer nonsense"}
		s.do("POST", "http", "/v1/publish/open/a", "1", forwarded...)
		s.do("GET", "http", "/v1/sse?channel=/open/a", "", forwarded...)
		k := s.keep(t)
		k.post("/v1/stream", `{"id":1,"op":"connect","token":"nonsense"}`, forwarded[:2]...)
		answer, err := http.ReadResponse(k.in, nil)
		must(t, err)
		if line, err := bufio.NewReader(answer.Body).ReadString('\n'); !strings.Contains(line, "unauthorized") {
			t.Errorf("%s, %v", line, err)
		}
		must(t, s.Stop(context.Background()))
		if n := strings.Count(s.log.String(), want+" reason="); n != 3 || strings.Contains(s.log.String(), "1.1.1.1") {
			t.Errorf("%s: %d times %s in\n%s", proxies, n, want, s.log.String())
		}
	}
}
