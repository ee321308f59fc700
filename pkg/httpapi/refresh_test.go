package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

const asForm = "application/x-www-form-urlencoded"

func TestRefresh(t *testing.T) {
	url := serve(t)
	form, own := []string{"Content-Type", asForm}, []string{"Origin", url}
	cookie := func(value string) []string { return []string{"Cookie", "token_refresh=" + value} }
	const path = "/v1/refresh"
	for _, c := range []call{
		{"POST", path, "refresh=renews", form, 200, `"token":"good","user":"alice"`},
		{"POST", path, "refresh=renews", form, 200, `"refresh":"renews","ends":`},
		{"POST", path, "refresh=good", form, 200, ""}, // names takes it for what it is not; tokenauth does not
		{"POST", path, "refresh=wrong", form, 401, `"unauthorized"`},
		{"POST", path, "refresh=used", form, 401, `the login has ended`},
		{"POST", path, "refresh=unstored", form, 503, `"unavailable"`},
		{"POST", path, "refresh=crowded", form, 413, `"too_large"`},
		{"POST", path, "", nil, 401, `send a form with refresh`},
		{"POST", path, "", cookie("renews"), 401, `send a form with refresh`},
		{"POST", path, "", append(cookie("renews"), "Sec-Fetch-Site", "cross-site"), 401, `send a form with refresh`},
		{"POST", path, "", append(cookie("renews"), "Sec-Fetch-Site", "same-origin"), 200, `"token":"good"`},
		{"POST", path, "", append(cookie("renews"), own...), 200, `"token":"good"`},
		{"POST", path, "", append(cookie("renews"), "Origin", "https://evil.example"), 403, `"forbidden"`},
		{"POST", path, "refresh=renews", append(form, "Origin", "https://evil.example"), 403, `"forbidden"`},
		{"POST", path, "refresh=" + strings.Repeat("x", maxForm), form, 400, `"bad_request"`},
		{"GET", path, "", nil, 405, `"bad_request"`},
	} {
		c.do(t, url)
	}
}

// TestRefreshCookie: what renews is for the calls alone, and not for a page's scripts,
// where the page is the server's own. A page of another origin is told nothing that it
// could bring elsewhere, where the browser has brought the cookie.
func TestRefreshCookie(t *testing.T) {
	url := serve(t)
	find := func(answer *http.Response, name string) *http.Cookie {
		t.Helper()
		for _, c := range answer.Cookies() {
			if c.Name == name {
				return c
			}
		}
		return nil
	}
	const elsewhere = "https://good.example"
	basic, byCookie, form := []string{"Authorization", "Basic YWxpY2U6Z29vZA=="}, []string{"Cookie", "token_refresh=renews"}, []string{"Content-Type", asForm}
	for _, told := range []struct {
		origin, path, body string
		header             []string
		token, renewal     bool
	}{
		{url, "/v1/login", "", basic, true, false},
		{url, "/v1/refresh", "", byCookie, true, false},
		{elsewhere, "/v1/login", "", basic, true, true},
		{elsewhere, "/v1/refresh", "refresh=renews", form, true, true},
		{elsewhere, "/v1/refresh", "", byCookie, false, false}, // what the page did not have it does not get
	} {
		c := call{"POST", told.path, told.body, append(told.header, "Origin", told.origin), 200, `"user":"alice","expires":`}
		if body := c.text(t, url); strings.Contains(body, `"refresh":`) != told.renewal || strings.Contains(body, `"token":`) != told.token {
			t.Errorf("%s, %s: %s", c.path, told.origin, body)
		}
		answer := c.do(t, url)
		access, renewal := find(answer, "token"), find(answer, "token_refresh")
		if access == nil || renewal == nil || renewal.Path != "/v1/" || !renewal.HttpOnly || renewal.SameSite != http.SameSiteStrictMode || !access.Expires.Equal(renewal.Expires) {
			t.Errorf("%s, %s: %v", c.path, told.origin, answer.Cookies())
		}
	}
	answer := call{"POST", "/v1/refresh", "", []string{"Cookie", "token_refresh=used", "Origin", url}, 401, ""}.do(t, url)
	for _, name := range []string{"token", "token_refresh"} {
		if c := find(answer, name); c == nil || c.MaxAge >= 0 || c.Value != "" {
			t.Errorf("%s is left to a browser whose login has ended: %v", name, c)
		}
	}
	answer = call{"POST", "/v1/refresh", "", []string{"Cookie", "token_refresh=unstored", "Origin", url}, 503, ""}.do(t, url)
	if len(answer.Cookies()) > 0 {
		t.Error("a login that goes on is taken away")
	}
}

// text returns the body of the answer.
func (c call) text(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, strings.NewReader(c.body))
	check(t, err)
	for i := 0; i < len(c.header); i += 2 {
		r.Header.Add(c.header[i], c.header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	check(t, err)
	defer answer.Body.Close()
	return readAll(t, answer)
}

func TestLogout(t *testing.T) {
	url := serve(t)
	const path = "/v1/logout"
	for _, c := range []call{
		{"POST", path, "", nil, 204, ""},
		{"POST", path, "", []string{"Authorization", "Bearer good"}, 204, ""},
		{"POST", path, "refresh=renews", []string{"Content-Type", asForm}, 204, ""},
		{"POST", path, "", []string{"Cookie", "token=good; token_refresh=renews", "Origin", url}, 204, ""},
		{"POST", path, "", []string{"Cookie", "token=foreign", "Origin", url}, 204, ""},
		{"POST", path, "", []string{"Authorization", "Bearer foreign"}, 401, `"unauthorized"`},
		{"POST", path, "", []string{"Authorization", "Bearer unstored"}, 503, `"unavailable"`},
		{"POST", path, "", []string{"Cookie", "token=unstored", "Origin", url}, 503, `"unavailable"`},
		{"POST", path, "", []string{"Cookie", "token=unstored"}, 204, ""}, // no browser vouches for it
	} {
		c.do(t, url)
	}
}
