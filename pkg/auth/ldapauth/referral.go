package ldapauth

import (
	"context"
	"errors"
	"net/url"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	ldap "github.com/go-ldap/ldap/v3"
)

// A found entry is one with the directory that has it, which is where its user
// binds.
type found struct {
	entry *ldap.Entry
	home  *directory
}

// search asks the directory, and where that refers to a server that is configured
// for it, that server as well. To no other does anything go: a referral comes
// from whoever can write into the directory. Referrals of those are not followed.
func (a *Authenticator) search(ctx context.Context, base string, scope int, filter string, limit int, attributes ...string) ([]found, error) {
	q := query{base, scope, filter, limit, attributes}
	entries, referrals, err := a.home.search(ctx, q)
	all := from(a.home, nil, entries)
	followed := 0
	for _, text := range referrals {
		d, base := a.referred(text)
		if d == nil {
			continue
		}
		followed++
		there := q
		if base != "" {
			there.base = base
		}
		entries, _, err := d.search(ctx, there)
		if err != nil {
			return nil, err
		}
		if all = from(d, all, entries); len(all) > limit {
			return nil, errTooMany
		}
	}
	if err != nil && (codeOf(err) != ldap.LDAPResultReferral || followed == 0) {
		return nil, err
	}
	return all, nil
}

func from(home *directory, all []found, entries []*ldap.Entry) []found {
	for _, e := range entries {
		all = append(all, found{e, home})
	}
	return all
}

// referred returns the configured directory that a referral's URL names by its
// host, and the base that is to be searched there. How it is reached is not the
// referral's to say.
func (a *Authenticator) referred(text string) (d *directory, base string) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, ""
	}
	return a.away[strings.ToLower(u.Hostname())], strings.TrimPrefix(u.Path, "/")
}

// referredTo returns the URLs of an answer that is nothing but a referral (RFC
// 4511, section 4.1.10).
func referredTo(err error) (urls []string) {
	e, ok := errors.AsType[*ldap.Error](err)
	if !ok || e.ResultCode != ldap.LDAPResultReferral || e.Packet == nil || len(e.Packet.Children) < 2 {
		return nil
	}
	for _, part := range e.Packet.Children[1].Children {
		if part.ClassType != ber.ClassContext || part.Tag != 3 {
			continue
		}
		for _, u := range part.Children {
			if text, ok := u.Value.(string); ok {
				urls = append(urls, text)
			}
		}
	}
	return urls
}
