package attacks_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/tests/slapd"
)

// directory starts a daemon whose users are those of a real directory, which is as
// careless as one can be.
func directory(t *testing.T) (*target, *slapd.Server) {
	t.Helper()
	d := slapd.Start(t, slapd.Options{Global: []string{"allow bind_anon_cred bind_anon_dn"}})
	password := filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(password, []byte(slapd.ServicePassword), 0o600))
	return attack(t, d.Section(password, `remember_wrong = "0s"`)), d
}

// A user's name is one segment of a channel, as it stands, or none: whoever gets to
// choose a name in the directory gets nobody else's channels by it.
func TestNamesOfUsers(t *testing.T) {
	a, d := directory(t)
	if status, _ := a.call("POST", "/v1/publish/inbox/alice", "1", bearer(a.token("alice"))...); status != http.StatusOK {
		t.Errorf("alice herself: %d", status)
	}
	for i, name := range []string{"alice/x", "../alice", "..", ".", "*", "**", "a*", "{user}", "$sys", "alice ", "Alice", "ALICE", "аlice", "ａlice", "alice\u200b", "%61lice", "self", "@authenticated", "user:alice", "group:admins"} {
		uid := fmt.Sprintf("m%d", i)
		// The name of the user is what another attribute says, so that it may be anything.
		d.Add("cn="+uid+","+slapd.People, "objectClass: inetOrgPerson", "objectClass: extensibleObject", "cn: "+uid, "sn: x", "uid: "+name, "userPassword: evil-secret")
		status, body := a.login(name, "evil-secret")
		if status != http.StatusOK {
			continue // of names that are alike to the directory it has two entries
		}
		_, token, _ := strings.Cut(body, `"token":"`)
		token, _, _ = strings.Cut(token, `"`)
		for _, channel := range []string{"/inbox/alice", "/inbox/bob", "/inbox/$sys", "/$sys/x", "/inbox/*"} {
			for _, call := range []string{"POST /v1/publish", "GET /v1/history"} {
				method, path, _ := strings.Cut(call, " ")
				status, body := a.call(method, path+channel, "1", bearer(token)...)
				if status != http.StatusForbidden && status != http.StatusNotFound {
					t.Errorf("%q: %s%s: %d %s", name, call, channel, status, body)
				}
			}
		}
	}
}

// Whoever guesses learns nothing from a refusal: not whether there is such a user, nor
// what is wrong with the account, not even with its right password.
func TestRefusalsAreAlike(t *testing.T) {
	a, d := directory(t)
	d.Set(slapd.Person("bob"), "pwdAccountLockedTime", "000001010000Z")
	d.Set(slapd.Person("carol"), "pwdReset", "TRUE")
	var first string
	for what, c := range map[string][2]string{
		"a wrong password":                   {"alice", "guess"},
		"nobody":                             {"nobody", "guess"},
		"a locked account":                   {"bob", "guess"},
		"the same, with its password":        {"bob", "bob-secret"},
		"a password to be changed":           {"carol", "carol-secret"},
		"the same, with another":             {"carol", "guess"},
		"an expired password":                {"expired", "expired-secret"},
		"the same, with another one":         {"expired", "guess"},
		"two entries":                        {"twin", "twin-secret"},
		"a name that is none":                {"alice\x00", "alice-secret"},
		"a password longer than any may be":  {"alice", strings.Repeat("x", 2000)},
		"the account that searches":          {"orbitd", slapd.ServicePassword},
		"a user whose name is not canonical": {slapd.Person("alice"), "alice-secret"},
	} {
		r, err := http.NewRequestWithContext(t.Context(), "POST", a.base+"/v1/login", strings.NewReader(url.Values{"user": {c[0]}, "password": {c[1]}}.Encode()))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		must(t, err)
		var body strings.Builder
		answer.Header.Del("Date")
		must(t, answer.Write(&body))
		if first == "" {
			first = body.String()
		}
		if answer.StatusCode != http.StatusUnauthorized || body.String() != first {
			t.Errorf("%s is told apart:\n%s\nand not\n%s", what, body.String(), first)
		}
	}
}

// A token that orbitd has not signed as it stands is worth nothing, however it is
// brought; what is tried against its keys and claims is in pkg/auth/tokenauth.
func TestForgedTokens(t *testing.T) {
	a := attack(t, users)
	good := a.token("alice")
	parts := strings.Split(good, ".")
	encode := base64.RawURLEncoding.EncodeToString
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	forged := encode([]byte(strings.Replace(string(claims), `"alice"`, `"bob"`, 1)))
	none := encode([]byte(`{"alg":"none","typ":"JWT"}`))
	bring := map[string]func(token string) (int, string){
		"Authorization": func(token string) (int, string) {
			return a.call("POST", "/v1/publish/closed/a", "1", bearer(token)...)
		},
		"cookie": func(token string) (int, string) {
			return a.call("GET", "/v1/history/closed/a", "", "Cookie", "orbit_token="+token, "Origin", a.base)
		},
		"connect": func(token string) (int, string) {
			status, body := a.call("POST", "/v1/poll?wait=0", fmt.Sprintf(`{"id":1,"op":"connect","last":{"/closed/a":0},"token":%q}`, token))
			if strings.Contains(body, `"code":"unauthorized"`) {
				status = http.StatusUnauthorized
			}
			return status, body
		},
		"login": func(token string) (int, string) {
			return a.call("POST", "/v1/login", "", bearer(token)...)
		},
	}
	for way, try := range bring {
		for what, token := range map[string]string{
			"no algorithm, no signature":  none + "." + parts[1] + ".",
			"no algorithm, and one":       none + "." + parts[1] + "." + parts[2],
			"None":                        encode([]byte(`{"alg":"None"}`)) + "." + parts[1] + ".",
			"another user":                parts[0] + "." + forged + "." + parts[2],
			"no signature":                parts[0] + "." + parts[1] + ".",
			"half a signature":            good[:len(good)-20],
			"two parts":                   parts[0] + "." + parts[1],
			"a token and more":            good + "." + parts[2],
			"a secret in place of a key":  encode([]byte(`{"alg":"HS256"}`)) + "." + parts[1] + "." + parts[2],
			"a key that it brings itself": encode([]byte(`{"alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}}`)) + "." + parts[1] + "." + parts[2],
			"a key by a path":             encode([]byte(`{"alg":"EdDSA","kid":"../../../../dev/null"}`)) + "." + parts[1] + "." + parts[2],
		} {
			if status, body := try(token); status != http.StatusUnauthorized {
				t.Errorf("%s by %s: %d %s", what, way, status, body)
			}
		}
		if way == "login" {
			continue // a token is not exchanged for another
		}
		if status, body := try(good); status != http.StatusOK {
			t.Errorf("the token itself by %s: %d %s", way, status, body)
		}
	}
}
