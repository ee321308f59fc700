package daemon_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestFilesCompressed: the library is compressed for who accepts that, and each
// form has a tag of its own.
func TestFilesCompressed(t *testing.T) {
	s := newSite(t, server+small+open)
	get := func(accept string, header ...string) (*http.Response, string) {
		return s.do("GET", "http", "/orbit/orbit.js", "", append(header, "Accept-Encoding", accept)...)
	}
	plain, script := get("identity")
	packed, body := get("gzip")
	unpacked := gunzip(t, body)
	if unpacked != script || 2*len(body) > len(script) {
		t.Errorf("%d bytes, as gzip %d, of which %d come out", len(script), len(body), len(unpacked))
	}
	tags := map[bool]string{false: plain.Header.Get("ETag"), true: packed.Header.Get("ETag")}
	if tags[false] == tags[true] || plain.Header.Get("Content-Type") != packed.Header.Get("Content-Type") {
		t.Errorf("%v, as gzip %v", plain.Header, packed.Header)
	}
	for accept, want := range map[string]bool{"gzip, deflate, br, zstd": true, "br": false, "gzip;q=0, *": false} {
		answer, _ := get(accept)
		if got := answer.Header.Get("Content-Encoding") == "gzip"; got != want || answer.Header.Get("ETag") != tags[want] ||
			answer.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: %v, want gzip: %v", accept, answer.Header, want)
		}
		for of, tag := range tags {
			answer, _ := get(accept, "If-None-Match", tag)
			if unchanged := answer.StatusCode == http.StatusNotModified; unchanged != (of == want) {
				t.Errorf("%q, known is %s: %d", accept, tag, answer.StatusCode)
			}
		}
	}
}

// TestHistoryCompressed: from a size on, unless that is turned off.
func TestHistoryCompressed(t *testing.T) {
	for _, off := range []bool{false, true} {
		settings := server
		if off {
			settings = strings.Replace(server, "[server]", "[server]\ncompression = \"off\"", 1)
		}
		s := newSite(t, settings+small+open)
		history := func(accept string) (string, string) {
			answer, body := s.do("GET", "http", "/v1/history/open/a", "", "Accept-Encoding", accept)
			if vary := strings.Join(answer.Header.Values("Vary"), ", "); !strings.Contains(vary, "Accept-Encoding") {
				t.Errorf("Vary: %s", vary)
			}
			return answer.Header.Get("Content-Encoding"), body
		}
		s.publish("/open/a", 200)
		if coding, _ := history("gzip"); coding != "" {
			t.Errorf("a small one is compressed: %s", coding)
		}
		for range 3 {
			s.do("POST", "http", "/v1/publish/open/a", `"`+strings.Repeat("all work and no play ", 100)+`"`)
		}
		_, plain := history("identity")
		coding, body := history("gzip")
		switch {
		case off && (coding != "" || body != plain):
			t.Errorf("turned off: %s", coding)
		case !off && (coding != "gzip" || len(body) > len(plain)/4 || gunzip(t, body) != plain):
			t.Errorf("%q, %d bytes of %d", coding, len(body), len(plain))
		}
	}
}

func gunzip(t *testing.T, body string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(body))
	must(t, err)
	text, err := io.ReadAll(r)
	must(t, err)
	return string(text)
}

// TestStreamsAreNotCompressed: whatever a client accepts, for the reasons that
// PROTOCOL.md gives.
func TestStreamsAreNotCompressed(t *testing.T) {
	s := newSite(t, server+small+open)
	s.publish("/open/a", 200)
	connect := `{"id":1,"op":"connect","last":{"/open/a":0}}`
	for _, call := range []struct{ method, path, body string }{
		{"GET", "/v1/sse?channel=/open/a&after=0", ""},
		{"POST", "/v1/sse", connect},
		{"POST", "/v1/stream", connect},
		{"POST", "/v1/poll?wait=0", connect},
	} {
		r, err := http.NewRequestWithContext(t.Context(), call.method, "http://"+s.address("http")+call.path, strings.NewReader(call.body))
		must(t, err)
		r.Header.Set("Accept-Encoding", "gzip")
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		must(t, err)
		if coding := answer.Header.Values("Content-Encoding"); answer.StatusCode != 200 || len(coding) > 0 {
			t.Errorf("%s %s: %d, %q", call.method, call.path, answer.StatusCode, coding)
		}
		_ = answer.Body.Close()
	}
}
