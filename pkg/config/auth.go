package config

import (
	"fmt"
	"slices"
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
		t.fail("type", `write type = "file", "ldap", "token" or "certificate"`, "it is missing")
		return Auth{}, false
	}
	a.Type = t.choice("type", "", FileAuth, TokenAuth, LDAPAuth, CertificateAuth)
	if a.Type == "" {
		return Auth{}, false
	}
	a.Name, a.Line = t.text("name", a.Type, a.Type), t.line()
	t.label = fmt.Sprintf("auth %q: ", a.Name)
	switch a.Type {
	case FileAuth:
		a.Path = t.users()
	case TokenAuth:
		a.Token = readToken(t)
	case LDAPAuth:
		a.LDAP = readLDAP(t)
	case CertificateAuth:
		a.Certificate = Certificate{
			User:  t.choice("user_from", "cn", "cn", "dns", "email", "uri"),
			Units: t.choice("groups_from", "none", "none", "ou") == "ou",
		}
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
	t.named("path", path)
	if err := tryRead(path); err != nil {
		t.fail("path", fmt.Sprintf(`"orbitd passwd --file %s NAME" makes it; or correct the path, or make it readable for orbitd`, path), "cannot read %s: %v", path, err)
		return path
	}
	t.unchanged("path", path)
	return path
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
