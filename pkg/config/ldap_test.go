package config_test

import (
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/config"
)

func TestLDAP(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "ca.pem"), "")
	write(t, filepath.Join(dir, "password"), "s3cret\n")
	c, err := config.Parse("orbitd.toml", []byte(`
[[auth]]
type = "ldap"
urls = ["ldaps://ldap.example.org"]
user_base = "ou=people,dc=example,dc=org"

[[auth]]
type = "ldap"
name = "other"
urls = ["ldap://ldap1.example.org:1389", "ldapi://%2Frun%2Fldapi"]
referrals = ["ldap://sub.example.org"]
start_tls = false
ca = "ca.pem"
server_name = "ldap.example.org"
bind_dn = "cn=orbitd"
bind_password = "file:password"
user_filter = "(mail={user})"
user_dn = "uid={user},ou=people"
user_name = "uidNumber"
group_base = "ou=groups"
group_filter = "(memberUid={user})"
group_name = "ou"
member_of = "isMemberOf"
nested = "recursive"
dial_timeout = "1s"
operation_timeout = "2s"
login_timeout = "3s"
connections = 4
refresh = "10s"
grace = "0s"
remember = "0s"
remember_wrong = "2m"
`), config.Options{Dir: dir, Getenv: environment(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Auth[0].LDAP, (config.LDAP{
		URLs: []string{"ldaps://ldap.example.org"}, StartTLS: true, UserBase: "ou=people,dc=example,dc=org", UserName: "uid", GroupName: "cn",
		Nested: config.NotNested, DialTimeout: 3 * time.Second, OperationTimeout: 5 * time.Second, LoginTimeout: 8 * time.Second,
		Connections: 8, Refresh: time.Minute, Grace: 15 * time.Minute, Remember: time.Minute, RememberWrong: time.Minute,
	}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	other := c.Auth[1].LDAP
	if secret, err := other.BindPassword.Read(); err != nil || string(secret) != "s3cret" {
		t.Errorf("password %q, %v", secret, err)
	}
	other.BindPassword = config.Secret{}
	if want := (config.LDAP{
		URLs: []string{"ldap://ldap1.example.org:1389", "ldapi://%2Frun%2Fldapi"}, Referrals: []string{"ldap://sub.example.org"},
		CA: filepath.Join(dir, "ca.pem"), ServerName: "ldap.example.org", BindDN: "cn=orbitd",
		UserFilter: "(mail={user})", UserDN: "uid={user},ou=people", UserName: "uidNumber",
		GroupBase: "ou=groups", GroupFilter: "(memberUid={user})", GroupName: "ou", MemberOf: "isMemberOf", Nested: config.Recursive,
		DialTimeout: time.Second, OperationTimeout: 2 * time.Second, LoginTimeout: 3 * time.Second, Connections: 4,
		Refresh: 10 * time.Second, RememberWrong: 2 * time.Minute,
	}); !reflect.DeepEqual(other, want) {
		t.Errorf("got %+v\nwant %+v", other, want)
	}
}
