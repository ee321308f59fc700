package ldapauth_test

import (
	"context"
	"testing"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/ldapauth"
	"github.com/orbitd/orbitd/tests/slapd"
)

// BenchmarkStorm is a storm of logins over TLS: of users who come back, whose
// passwords are remembered, and of users who are new, each of whom is searched
// for, bound, and asked for groups.
func BenchmarkStorm(b *testing.B) {
	s := slapd.Start(b, slapd.Options{})
	for name, change := range map[string]func(*ldapauth.Options){
		"back": func(*ldapauth.Options) {},
		"new":  func(o *ldapauth.Options) { o.Remember = -1 },
	} {
		b.Run(name, func(b *testing.B) {
			o := options(s)
			o.URLs, o.PlainText, o.TLS = []string{s.Secure}, false, trust(b, s.CA)
			change(&o)
			a, err := ldapauth.New(o)
			if err != nil {
				b.Fatal(err)
			}
			defer a.Close()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := a.Authenticate(context.Background(), auth.Credentials{User: "alice", Password: "alice-secret"}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
