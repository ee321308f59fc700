package samba_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	ldap "github.com/go-ldap/ldap/v3"
)

// What tests/samba/run has provisioned.
const (
	base     = "DC=ad,DC=example,DC=org"
	users    = "CN=Users," + base
	realm    = "@ad.example.org"
	service  = "orbitd" + realm
	password = "Right-secret1"
)

// Accounts, by the values of userAccountControl.
const (
	open    = "66048" // its password does not expire
	ageing  = "512"
	blocked = "66050"
)

// A domain is the directory under test, as its administrator has it.
type domain struct {
	t     *testing.T
	admin *ldap.Conn
	trust *tls.Config
}

// newDomain opens the directory that the script has started.
func newDomain(t *testing.T) *domain {
	t.Helper()
	ca := os.Getenv("ORBITD_AD_CA")
	if ca == "" {
		t.Skip("Active Directory is started by tests/samba/run")
	}
	pem, err := os.ReadFile(ca)
	must(t, err)
	d := &domain{t: t, trust: &tls.Config{RootCAs: x509.NewCertPool()}}
	d.trust.RootCAs.AppendCertsFromPEM(pem)
	d.admin, err = ldap.DialURL("ldaps://localhost", ldap.DialWithTLSConfig(d.trust))
	must(t, err)
	t.Cleanup(func() { _ = d.admin.Close() })
	must(t, d.admin.Bind("Administrator"+realm, "Adm1n-secret"))
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func named(cn string) string { return "CN=" + cn + "," + users }

func (d *domain) addUser(name, control string) {
	d.t.Helper()
	r := ldap.NewAddRequest(named(name), nil)
	r.Attribute("objectClass", []string{"user"})
	r.Attribute("sAMAccountName", []string{name})
	r.Attribute("userPrincipalName", []string{name + realm})
	r.Attribute("unicodePwd", []string{quoted(password)})
	r.Attribute("userAccountControl", []string{control})
	must(d.t, d.admin.Add(r))
	d.t.Cleanup(func() { must(d.t, d.admin.Del(ldap.NewDelRequest(named(name), nil))) })
}

// quoted is a password as Active Directory wants it (MS-ADTS, section 3.1.1.3.1.5.1).
func quoted(password string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(`"` + password + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

func (d *domain) addGroup(name string, members ...string) {
	d.t.Helper()
	r := ldap.NewAddRequest(named(name), nil)
	r.Attribute("objectClass", []string{"group"})
	r.Attribute("sAMAccountName", []string{name})
	r.Attribute("member", members)
	must(d.t, d.admin.Add(r))
	d.t.Cleanup(func() { must(d.t, d.admin.Del(ldap.NewDelRequest(named(name), nil))) })
}

// set replaces an attribute's value, until the test ends if it had another.
func (d *domain) set(dn, attribute, value string) {
	d.t.Helper()
	r := ldap.NewModifyRequest(dn, nil)
	r.Replace(attribute, []string{value})
	must(d.t, d.admin.Modify(r))
}

func (d *domain) get(dn, attribute string) string {
	d.t.Helper()
	found, err := d.admin.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", []string{attribute}, nil))
	must(d.t, err)
	return found.Entries[0].GetAttributeValue(attribute)
}

// until has an attribute changed until the test ends.
func (d *domain) until(dn, attribute, value string) {
	d.t.Helper()
	before := d.get(dn, attribute)
	d.set(dn, attribute, value)
	d.t.Cleanup(func() { d.set(dn, attribute, before) })
}

func (d *domain) leave(group, member string) {
	d.t.Helper()
	r := ldap.NewModifyRequest(named(group), nil)
	r.Delete("member", []string{member})
	must(d.t, d.admin.Modify(r))
}

// short is a group's name without the rest of its DN.
func short(groups []string) string {
	var names []string
	for _, g := range groups {
		if !strings.Contains(g, "=") {
			names = append(names, g)
		}
	}
	return strings.Join(names, " ")
}
