package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func readAuths(tables []*table) []Auth {
	var auths []Auth
	first := make(map[string]int)
	for _, t := range tables {
		a, ok := readAuth(t)
		if !ok {
			continue
		}
		if line, taken := first[a.Name]; taken {
			t.fail("name", fmt.Sprintf("give it a name of its own, such as name = %q", a.Name+"2"), "an authenticator of this name stands at line %d", line)
			continue
		}
		first[a.Name] = t.line()
		auths = append(auths, a)
	}
	return auths
}

// readAuth reads one authenticator; ok is false if its type is unknown.
func readAuth(t *table) (a Auth, ok bool) {
	t.label = "auth: "
	if !t.has("type") {
		t.fail("type", `write type = "file" or type = "token"`, "it is missing")
		return Auth{}, false
	}
	a.Type = t.choice("type", "", FileAuth, TokenAuth, "ldap")
	if a.Type == "" {
		return Auth{}, false
	}
	a.Name, a.Line = t.text("name", a.Type, a.Type), t.line()
	t.label = fmt.Sprintf("auth %q: ", a.Name)
	switch a.Type {
	case FileAuth:
		a.Path = t.users()
	case TokenAuth:
		a.Key = t.secret("key")
		a.TTL = t.duration("ttl", 12*time.Hour, time.Minute, 30*day)
		a.Audience = t.text("audience", "orbitd", "orbitd")
	default:
		readLDAP(t)
	}
	t.done()
	return a, true
}

// users reads the path of a users' file.
func (t *table) users() string {
	path := t.doc.absolute(t.text("path", "", "/etc/orbitd/users"))
	if path == "" {
		t.fail("path", `write path = "/etc/orbitd/users"`, "it is missing")
		return ""
	}
	if err := tryRead(path); err != nil {
		t.fail("path", fmt.Sprintf(`"orbitd passwd --file %s NAME" makes it; or correct the path, or make it readable for orbitd`, path), "cannot read %s: %v", path, err)
	}
	return path
}

// readLDAP checks what is written, so that a file can be prepared, and refuses
// the authenticator: to run without it would let nobody in, or the wrong ones.
func readLDAP(t *table) {
	t.fail("type", `use type = "file" or type = "token" until then`, "LDAP is not in this build yet")
	urls, _ := t.texts("urls", "ldaps://ldap.example.org")
	for _, u := range urls {
		if !strings.HasPrefix(u.text, "ldaps://") && !strings.HasPrefix(u.text, "ldap://") {
			t.failAt(u.line, "urls", `write ldaps://HOST, or ldap://HOST for StartTLS`, "%q is not the URL of a directory", u.text)
		}
	}
	for key, example := range map[string]string{
		"bind_dn": "cn=orbitd,ou=services,dc=example,dc=org", "user_base": "ou=people,dc=example,dc=org", "group_base": "ou=groups,dc=example,dc=org",
	} {
		t.text(key, "", example)
	}
	t.secret("bind_password")
	t.filter("user_filter", "(uid={user})", "{user}")
	t.filter("group_filter", "(member={dn})", "{dn}")
	t.duration("refresh", time.Minute, time.Second, day)
}

// filter checks that a search names whom it searches for.
func (t *table) filter(key, example, variable string) {
	if f := t.text(key, example, example); !strings.Contains(f, variable) {
		t.fail(key, fmt.Sprintf("write %s = %q", key, example), "%q does not contain %s", f, variable)
	}
}

// realm reads the names of the authenticators that vouch for an application's
// users; where it does not say, all of them do.
func (t *table) realm(known []string) []string {
	names, ok := t.texts("auth", FileAuth)
	if !ok {
		return known
	}
	realm := make([]string, 0, len(names))
	for _, name := range names {
		if slices.Contains(known, name.text) {
			realm = append(realm, name.text)
			continue
		}
		hint := "add an [[auth]] of this name; there is none at all"
		if near := nearest(name.text, known); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		} else if len(known) > 0 {
			hint = "write " + quoted(known) + ", or add an [[auth]] of this name"
		}
		t.failAt(name.line, "auth", hint, "no [[auth]] has the name %q", name.text)
	}
	return realm
}
