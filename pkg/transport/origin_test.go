package transport

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/origin"
)

var paths = []struct{ method, path, body string }{
	{"GET", SSEPath + "?channel=/mine/x", ""},
	{"POST", SSEPath, `{"id":1,"op":"connect","last":{"/mine/x":0}}`},
	{"POST", StreamPath, `{"id":1,"op":"connect","last":{"/mine/x":0}}`},
	{"POST", PollPath + "?wait=0", `{"id":1,"op":"connect","last":{"/mine/x":0}}`},
}

// TestOriginMatrix: who comes from where, with what, on every way over HTTP. A
// cookie alone is nobody; one from a page that is not allowed is refused.
func TestOriginMatrix(t *testing.T) {
	r := newRig(t, rigOptions{rules: "/mine/** user:alice *\n/** - *"})
	r.gate.Set(origin.Rules{Origins: []string{"https://good.example", "https://xn--bcher-kva.example:8443"}})
	host := strings.TrimPrefix(r.http, "http://")
	for _, c := range []struct {
		origin  string
		allowed bool
	}{
		{"", true}, {"https://good.example", true}, {r.http, true}, {"https://xn--bcher-kva.example:8443", true},
		{"null", false}, {"http://good.example", false}, {"https://good.example:444", false}, {"https://sub.good.example", false},
		{"https://good.example.evil.example", false}, {"https://evilgood.example", false}, {"https://GOOD.example", false},
		{"https://user@good.example", false}, {"https://xn--bcher-kva.example", false}, {"http://" + host + "0", false},
	} {
		for _, p := range paths {
			for _, proof := range []string{"", "cookie", "bearer"} {
				status, header, body := r.ask(p.method, p.path, p.body, c.origin, proof)
				knows := proof == "bearer" || proof == "cookie" && c.origin != ""
				want := http.StatusOK
				if !c.allowed || p.method == "GET" && !knows {
					want = http.StatusForbidden
				}
				at := fmt.Sprintf("%s %s from %q with %q", p.method, p.path, c.origin, proof)
				if status != want {
					t.Errorf("%s: %d %s", at, status, body)
				}
				if p.method == "POST" && c.allowed && strings.Contains(body, `"forbidden"`) == knows {
					t.Errorf("%s: %s", at, body)
				}
				checkHeaders(t, at, header, c.origin, c.allowed)
			}
		}
	}
}

func checkHeaders(t *testing.T, at string, h http.Header, origin string, allowed bool) {
	t.Helper()
	given := h.Get("Access-Control-Allow-Origin")
	if !allowed && given != "" || allowed && given != origin || given == "*" || (h.Get("Access-Control-Allow-Credentials") == "true") != (given != "") {
		t.Errorf("%s: allows %q", at, given)
	}
	if !slices.Contains(h.Values("Vary"), "Origin") || h.Get("Cache-Control") != "no-store, no-transform" || h.Get("X-Accel-Buffering") != "no" {
		t.Errorf("%s: %v", at, h)
	}
}

// ask makes a request and reads the answer up to its first object.
func (r *rig) ask(method, path, body, origin, proof string) (int, http.Header, string) {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), method, r.http+path, strings.NewReader(body))
	must(r.t, err)
	if origin != "" {
		q.Header.Set("Origin", origin)
	}
	switch proof {
	case "cookie":
		q.Header.Set("Cookie", Cookie+"=alice")
	case "bearer":
		q.Header.Set("Authorization", "Bearer alice")
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(q)
	must(r.t, err)
	defer answer.Body.Close()
	b := make([]byte, 4096)
	n, err := io.ReadAtLeast(answer.Body, b, 1)
	if err != nil && err != io.EOF {
		r.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(b[:n])
}

func TestPreflight(t *testing.T) {
	r := newRig(t, rigOptions{})
	r.gate.Set(origin.Rules{Origins: []string{"https://good.example"}})
	for _, path := range []string{SSEPath, StreamPath, PollPath, SendPath} {
		for origin, want := range map[string]int{"https://good.example": 204, "https://evil.example": 403, "": 405} {
			status, header, body := r.ask("OPTIONS", path, "", origin, "")
			if status != want {
				t.Errorf("%s from %q: %d %s", path, origin, status, body)
			}
			checkHeaders(t, path, header, origin, want == 204)
			if want == 204 && (!strings.Contains(header.Get("Access-Control-Allow-Headers"), sessionHeader) || !strings.Contains(header.Get("Access-Control-Allow-Methods"), "POST")) {
				t.Errorf("%s: %v", path, header)
			}
		}
	}
}

// Where the server is reached with TLS, a page that came without is none of its own;
// also for a WebSocket, on either way to it.
func TestOwnPageNeedsTLS(t *testing.T) {
	r := newRig(t, rigOptions{})
	host := strings.TrimPrefix(r.https, "https://")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	for scheme, want := range map[string]bool{"http": false, "https": true} {
		for _, p := range paths {
			q, err := http.NewRequestWithContext(t.Context(), p.method, r.https+p.path, strings.NewReader(p.body))
			must(t, err)
			q.Header.Set("Origin", scheme+"://"+host)
			a, err := client.Do(q)
			must(t, err)
			a.Body.Close()
			if (a.StatusCode == http.StatusOK) != want {
				t.Errorf("%s %s from %s: %d", p.method, p.path, scheme, a.StatusCode)
			}
		}
		// What stands before a handshake in one packet takes it through net/http.
		for name, before := range map[string]string{"on a loop": "", "by net/http": "GET /v1/send HTTP/1.1\r\nHost: x\r\n\r\n"} {
			conn, err := tls.Dial("tcp", host, &tls.Config{InsecureSkipVerify: true})
			must(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, before+with("Host: here", "Host: "+host+"\r\nOrigin: "+scheme+"://"+host))
			must(t, err)
			in := bufio.NewReader(conn)
			a, err := http.ReadResponse(in, nil)
			must(t, err)
			if before != "" {
				_, err = io.Copy(io.Discard, a.Body)
				must(t, err)
				a, err = http.ReadResponse(in, nil)
				must(t, err)
			}
			if (a.StatusCode == http.StatusSwitchingProtocols) != want {
				t.Errorf("a WebSocket %s from %s: %d", name, scheme, a.StatusCode)
			}
		}
	}
}
