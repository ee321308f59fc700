package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/broker"
	"github.com/orbitd/orbitd/pkg/engine/memory"
)

// A path is taken as it is: what is cleaned up would be another channel.
func TestPathsAreNotCleaned(t *testing.T) {
	url := serve(t)
	for _, c := range []call{
		{"POST", "/v1/publish/none/../open/a", `1`, nil, 404, `"unknown_channel"`},
		{"POST", "/v1/publish//open/a", `1`, nil, 404, `"unknown_channel"`},
		{"POST", "/v1/publish/open/", `1`, nil, 404, `"unknown_channel"`},
		{"POST", "/v1/publish/", `1`, nil, 404, `"unknown_channel"`},
		{"POST", "/v1/publish/%2e%2e/open", `1`, nil, 404, `"unknown_channel"`},
		{"POST", "/v1/publish/open%2Fa", `1`, nil, 404, `not as %2F`},
		{"GET", "/v1/history/open%2fa", "", nil, 404, `"unknown_channel"`},
		{"POST", "/v1/publish/open%00", `1`, nil, 404, `"unknown_channel"`},
		{"POST", "/v1/publish/$sys/a", `1`, nil, 403, `"forbidden"`},
		{"POST", "/v1/publish/" + strings.Repeat("a", 255), `1`, nil, 404, `"unknown_channel"`},
		{"POST", "/v1/nothing", "", nil, 404, `"bad_request"`},
		{"POST", "/v1/login/", "", nil, 404, `"bad_request"`},
	} {
		c.do(t, url)
	}
}

func TestMethods(t *testing.T) {
	url := serve(t)
	for _, c := range []call{
		{"GET", "/v1/publish/open/a", "", nil, 405, `"bad_request"`},
		{"PUT", "/v1/publish/open/a", "1", nil, 405, `"bad_request"`},
		{"GET", "/v1/publish", "", nil, 405, `"bad_request"`},
		{"GET", "/v1/login", "", nil, 405, `"bad_request"`},
		{"OPTIONS", "/v1/login", "", nil, 405, `"bad_request"`},
	} {
		if allow := c.do(t, url).Header.Get("Allow"); allow != "POST" {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, allow)
		}
	}
	call{"HEAD", "/v1/history/open/a", "", nil, 200, ""}.do(t, url)
	if allow := (call{"POST", "/v1/history/open/a", "", nil, 405, ""}).do(t, url).Header.Get("Allow"); allow != "GET, HEAD" {
		t.Errorf("history: Allow is %q", allow)
	}
}

// TestOriginsAndCredentials is the matrix of who asks and what is brought along:
// a foreign page gets nothing whatever it brings, and a cookie counts only where
// the browser says that the page may use it.
func TestOriginsAndCredentials(t *testing.T) {
	url := serve(t)
	cookie, bearer := []string{"Cookie", "token=good"}, []string{"Authorization", "Bearer good"}
	good, foreign := "https://good.example", []string{
		"https://evil.example", "null", "https://good.example.evil.example", "https://evilgood.example", "https://sub.good.example",
		"https://good.example:444", "http://good.example", "HTTPS://GOOD.EXAMPLE", "https://good.example@evil.example", "*",
	}
	for _, brought := range [][]string{nil, cookie, bearer} {
		for _, origin := range foreign {
			with := append(slices.Clone(brought), "Origin", origin)
			for _, c := range []call{
				{"POST", "/v1/publish/open/a", `1`, with, 403, `"forbidden"`},
				{"POST", "/v1/publish", `{"channel":"/open/a","data":1}`, with, 403, `"forbidden"`},
				{"GET", "/v1/history/open/a", "", with, 403, `"forbidden"`},
				{"POST", "/v1/login", "user=alice&password=good", append(with, "Content-Type", "application/x-www-form-urlencoded"), 403, `"forbidden"`},
				{"OPTIONS", "/v1/publish/open/a", "", with, 403, `"forbidden"`},
			} {
				answer := c.do(t, url)
				if h := answer.Header; h.Get("Access-Control-Allow-Origin") != "" || h.Get("Set-Cookie") != "" || h.Get("Vary") != "Origin" {
					t.Errorf("%s %s from %s: %v", c.method, c.path, origin, h)
				}
			}
		}
	}
	for _, c := range []call{
		{"POST", "/v1/publish/mine/a", `1`, append(slices.Clone(bearer), "Origin", good), 200, `"offset"`},
		{"POST", "/v1/publish/mine/a", `1`, bearer, 200, `"offset"`},
		{"POST", "/v1/publish/mine/a", `1`, []string{"Origin", good}, 403, `"forbidden"`},
		// Without an origin a cookie proves nothing, unless the browser vouches.
		{"GET", "/v1/history/mine/a", "", cookie, 403, `"forbidden"`},
		{"GET", "/v1/history/mine/a", "", append(slices.Clone(cookie), "Sec-Fetch-Site", "same-origin"), 200, `"messages"`},
		{"GET", "/v1/history/mine/a", "", append(slices.Clone(cookie), "Sec-Fetch-Site", "same-site"), 403, `"forbidden"`},
		{"GET", "/v1/history/mine/a", "", append(slices.Clone(cookie), "Sec-Fetch-Site", "cross-site"), 403, `"forbidden"`},
		{"GET", "/v1/history/mine/a", "", append(slices.Clone(cookie), "Sec-Fetch-Site", "none"), 403, `"forbidden"`},
		// A header that is no good is not made up for by the cookie.
		{"POST", "/v1/publish/mine/a", `1`, append(slices.Clone(cookie), "Origin", good, "Authorization", "Bearer"), 401, `"unauthorized"`},
		{"POST", "/v1/publish/mine/a", `1`, append(slices.Clone(cookie), "Origin", good, "Authorization", "Bearer bad"), 401, `"unauthorized"`},
	} {
		c.do(t, url)
	}
	answer := call{"OPTIONS", "/v1/publish/mine/a", "", []string{"Origin", good}, 204, ""}.do(t, url)
	if h := answer.Header; h.Get("Access-Control-Allow-Origin") != good || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Idempotency-Key") || h.Get("Vary") != "Origin" {
		t.Errorf("preflight: %v", h)
	}
}

func TestWrongAuthorization(t *testing.T) {
	url := serve(t)
	for _, header := range []string{"Bearer", "Bearer bad", "Basic", "Basic !!!", "Basic Og==", "Basic YWxpY2U6", "Basic YWxpY2U6YmFk", "Digest x", "good"} {
		answer := call{"POST", "/v1/publish/open/a", `1`, []string{"Authorization", header}, 401, `"unauthorized"`}.do(t, url)
		if got := answer.Header.Get("WWW-Authenticate"); !strings.Contains(got, "Basic") {
			t.Errorf("%q: challenge %q", header, got)
		}
	}
	answer := call{"POST", "/v1/publish/open/a", `1`, []string{"Authorization", "x", "Origin", "https://good.example"}, 401, `"unauthorized"`}.do(t, url)
	if got := answer.Header.Get("WWW-Authenticate"); strings.Contains(got, "Basic") {
		t.Errorf("a page's browser would ask for a password: %q", got)
	}
}

func TestLoginCookie(t *testing.T) {
	url := serve(t)
	login := func(origin ...string) *http.Response {
		return call{"POST", "/v1/login", "", append(origin, "Authorization", "Basic YWxpY2U6Z29vZA=="), 200, `"token":"good"`}.do(t, url)
	}
	if set := login().Header.Get("Set-Cookie"); set != "" {
		t.Errorf("no browser, and a cookie: %q", set)
	}
	if set := login("Origin", "https://good.example").Header.Get("Set-Cookie"); !strings.Contains(set, "Secure") || !strings.Contains(set, "Path=/;") {
		t.Errorf("behind a proxy with TLS: %q", set)
	}
}

func TestLimitsOfABatch(t *testing.T) {
	url := serve(t)
	for name, c := range map[string]call{
		"lines":  {"POST", "/v1/publish", strings.Repeat("{}\n", maxLines+1), nil, 413, `"too_large"`},
		"bytes":  {"POST", "/v1/publish", strings.Repeat(" ", maxBatchBytes+1), nil, 413, `send several`},
		"blanks": {"POST", "/v1/publish", "\n \n", nil, 400, `"bad_request"`},
		"line":   {"POST", "/v1/publish", `{"channel":"/open/a","data":"` + strings.Repeat("x", 1000) + `"}`, nil, 200, `"too_large"`},
		"key":    {"POST", "/v1/publish/open/a", `1`, []string{"Idempotency-Key", strings.Repeat("k", 129)}, 400, `"bad_request"`},
		"empty":  {"POST", "/v1/publish/open/a", `1`, []string{"Idempotency-Key", ""}, 400, `Idempotency-Key is one key`},
		"two":    {"POST", "/v1/publish/open/a", `1`, []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, 400, `"bad_request"`},
		"latin":  {"POST", "/v1/publish/open/a", `1`, []string{"Idempotency-Key", "caf\xe9"}, 400, `"bad_request"`},
		"prev":   {"POST", "/v1/publish/open/a", `1`, []string{"Orbit-Previous-Key", "k"}, 400, `"bad_request"`},
		"type":   {"POST", "/v1/publish/open/a", `1`, []string{"Content-Type", "nonsense"}, 400, `"bad_request"`},
		"curl":   {"POST", "/v1/publish/open/a", `{"text":"hi"}`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, `--json`},
		"page":   {"POST", "/v1/publish/open/a", `--x--`, []string{"Content-Type", "multipart/form-data; boundary=x"}, 400, `not a payload`},
		"first":  {"POST", "/v1/publish/open/a", `1`, []string{"Orbit-First", "9007199254740992"}, 400, `Unix milliseconds`},
		"before": {"GET", "/v1/history/open/a?before=-1", "", nil, 400, `before is a number`},
		"form":   {"POST", "/v1/login", "user=" + strings.Repeat("x", maxForm), []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, `"bad_request"`},
	} {
		t.Run(name, func(t *testing.T) { c.do(t, url) })
	}
}

// A batch of as many lines as may come at once is stored where one of them is refused.
func TestRefusedLineAtTheRate(t *testing.T) {
	const rate = 20
	all := rights(t, map[string]string{"/open/**": "*"}, names{})
	all.Quotas = map[string]broker.Quota{"open": {PublishRate: rate}}
	url := serveBroker(t, newBroker(t, memory.New(memory.Options{KeyCount: 1}), all), 0)
	call{"POST", "/v1/publish/open/a", `1`, []string{"Idempotency-Key", "k"}, 200, `"offset"`}.do(t, url)
	lines := strings.Repeat(`{"channel":"/open/a","data":1}`+"\n", rate-1)
	call{"POST", "/v1/publish", `{"channel":"/open/a","data":2,"key":"k"}` + "\n" + lines, nil, 200, fmt.Sprintf(`"offset":%d`, rate)}.do(t, url)
}

// Lines that only the engine can refuse cost a batch each: there is an end to it,
// and then nothing is stored.
func TestRefusedLinesAreBounded(t *testing.T) {
	url := serve(t)
	call{"POST", "/v1/publish/open/a", `0`, []string{"Idempotency-Key", "k"}, 200, ""}.do(t, url)
	bad := strings.Repeat(`{"channel":"/open/a","data":1,"key":"k"}`+"\n", maxRefused)
	last := `{"channel":"/open/b","data":1}`
	one := `{"channel":"/open/a","data":1,"key":"k"}` + "\n"
	call{"POST", "/v1/publish", bad + one + last, nil, 200, "101 lines were refused"}.do(t, url)
	call{"GET", "/v1/history/open/b", "", nil, 200, `"messages":[]`}.do(t, url)
	call{"POST", "/v1/publish", bad + last, nil, 200, `"offset":`}.do(t, url)
	forbidden := strings.Repeat(`{"channel":"/none/a","data":1}`+"\n", 3*maxRefused)
	call{"POST", "/v1/publish", forbidden + last, nil, 200, `"offset":`}.do(t, url)
}

func TestHistoryPages(t *testing.T) {
	url := serve(t)
	call{"POST", "/v1/publish", strings.Repeat(`{"channel":"/open/a","data":1}`+"\n", 5), nil, 200, ""}.do(t, url)
	var got []uint64
	before := uint64(0)
	for more := true; more; {
		r, err := http.Get(fmt.Sprintf("%s/v1/history/open/a?limit=2&before=%d", url, before))
		check(t, err)
		var page struct {
			Epoch    string
			Messages []struct{ O uint64 }
			More     bool
		}
		check(t, json.NewDecoder(r.Body).Decode(&page))
		r.Body.Close()
		if page.Epoch == "" || len(page.Messages) == 0 {
			t.Fatalf("page %+v", page)
		}
		for _, m := range slices.Backward(page.Messages) {
			got = append(got, m.O)
		}
		before, more = got[len(got)-1], page.More
	}
	if len(got) != 5 || !slices.IsSortedFunc(got, func(a, b uint64) int { return int(b) - int(a) }) {
		t.Errorf("offsets %d", got)
	}
}

// A body that does not come ends with an answer, not with a silent connection.
func TestSlowBodiesAreBounded(t *testing.T) {
	url := serveWithin(t, 100*time.Millisecond)
	c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	check(t, err)
	defer c.Close()
	_, err = fmt.Fprint(c, "POST /v1/publish/open/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
	check(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	check(t, err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusBadRequest || !answer.Close {
		t.Errorf("%d, close %t", answer.StatusCode, answer.Close)
	}
}
