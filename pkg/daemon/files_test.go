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
	r, err := gzip.NewReader(strings.NewReader(body))
	must(t, err)
	unpacked, err := io.ReadAll(r)
	must(t, err)
	if string(unpacked) != script || 2*len(body) > len(script) {
		t.Errorf("%d bytes, as gzip %d, of which %d come out", len(script), len(body), len(unpacked))
	}
	tags := map[bool]string{false: plain.Header.Get("ETag"), true: packed.Header.Get("ETag")}
	if tags[false] == tags[true] || plain.Header.Get("Content-Type") != packed.Header.Get("Content-Type") {
		t.Errorf("%v, as gzip %v", plain.Header, packed.Header)
	}
	for accept, want := range map[string]bool{
		"gzip, deflate, br, zstd": true, "GZIP": true, "br": false, "*": true, "*;q=0": false,
		"gzip;q=0": false, "gzip;q=0, *": false, "*, gzip;q=0.000": false, "gzip ; q=0.5": true, "gzip;q=x": false,
		"br, *;q=0.1": true, "identity;q=1, gzip;q=0.2": true, "gzipped": false,
	} {
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

// TestMessagesAreNotCompressed: whatever a client accepts, for the reasons that
// PROTOCOL.md gives.
func TestMessagesAreNotCompressed(t *testing.T) {
	s := newSite(t, server+small+open)
	s.publish("/open/a", 200)
	connect := `{"id":1,"op":"connect","last":{"/open/a":0}}`
	for _, call := range []struct{ method, path, body string }{
		{"GET", "/v1/history/open/a", ""},
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
