package ldapauth

import (
	"context"
	"fmt"
	"strings"
	"time"

	ldap "github.com/go-ldap/ldap/v3"
)

const (
	// maxGroups bounds the groups of one user.
	maxGroups = 10_000
	// maxDepth is how many groups deep a user may stand in a group.
	maxDepth = 10
	// maxParents bounds the groups whose own groups are looked up one by one for
	// one user.
	maxParents = 1000
)

// A group is one that the directory names.
type group struct {
	dn   string // as the directory has it
	key  string // folded
	name string // short; may be empty
}

// groupsOf returns the names of all groups of a person, as rules name them: the
// DN as the directory has it, the DN folded, and the short name. A look-up that
// fails is an error, never "no groups".
func (a *Authenticator) groupsOf(ctx context.Context, p *person) ([]string, error) {
	direct, err := a.direct(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("groups of %q: %w", p.user, err)
	}
	seen := make(map[string]group, len(direct))
	level := newOnes(seen, direct)
	for depth := 0; a.o.Nested == Recursive && len(level) > 0 && depth < maxDepth; depth++ {
		var above []group
		for _, g := range level {
			parents, err := a.parents(ctx, g)
			if err != nil {
				return nil, fmt.Errorf("groups of group %q: %w", g.dn, err)
			}
			above = append(above, parents...)
		}
		if level = newOnes(seen, above); len(seen) > maxParents {
			return nil, fmt.Errorf("groups of %q: more than %d with their groups", p.user, maxParents)
		}
	}
	if len(seen) > maxGroups {
		return nil, fmt.Errorf("groups of %q: more than %d", p.user, maxGroups)
	}
	return a.names(seen), nil
}

// newOnes adds groups to those seen and returns those that were not. So a group
// that is, by whatever way, in itself ends the search.
func newOnes(seen map[string]group, groups []group) (added []group) {
	for _, g := range groups {
		if _, known := seen[g.key]; !known {
			seen[g.key] = g
			added = append(added, g)
		}
	}
	return added
}

// names returns what rules may call the groups, in order and each once.
func (a *Authenticator) names(groups map[string]group) []string {
	names := make(map[string]struct{}, 2*len(groups))
	for _, g := range groups {
		names[g.dn], names[g.key] = struct{}{}, struct{}{}
		// A short name that looks like a DN would stand for a group that it is
		// not: whoever may name a group would be in any.
		if g.name != "" && !strings.ContainsAny(g.name, "=,") {
			names[g.name] = struct{}{}
		}
	}
	return a.texts.sorted(names)
}

// direct returns the groups that the person is in, without those of the groups.
func (a *Authenticator) direct(ctx context.Context, p *person) ([]group, error) {
	switch {
	case p.partly != nil:
		return nil, p.partly
	case a.o.MemberOf != "":
		return a.named(p.memberOf), nil
	case a.o.GroupBase == "":
		return nil, nil
	}
	return a.searchGroups(ctx, p.user, p.dn)
}

// named returns the groups of DNs. Below GroupBase, if there is one: elsewhere
// others may be who make groups.
func (a *Authenticator) named(dns []string) []group {
	groups := make([]group, 0, len(dns))
	for _, dn := range dns {
		key := foldDN(dn)
		if !below(key, a.groupBase) {
			continue
		}
		name, _ := rdn(dn, a.o.GroupName)
		groups = append(groups, group{dn, key, name})
	}
	return groups
}

func (a *Authenticator) searchGroups(ctx context.Context, user, dn string) ([]group, error) {
	entries, err := a.search(ctx, a.o.GroupBase, ldap.ScopeWholeSubtree, fill(a.o.GroupFilter, user, dn), maxGroups, a.o.GroupName)
	if err != nil {
		return nil, err
	}
	groups := make([]group, len(entries))
	for i, f := range entries {
		groups[i] = group{f.entry.DN, foldDN(f.entry.DN), f.entry.GetEqualFoldAttributeValue(a.o.GroupName)}
	}
	return groups, nil
}

// parents returns the groups that a group is in. What was found for one user
// holds for the others, as long as what is known of users does.
func (a *Authenticator) parents(ctx context.Context, g group) ([]group, error) {
	if p, ok := a.tree.get(g.key, a.holds); ok {
		return p, nil
	}
	asked := a.o.Now()
	var parents []group
	var err error
	if a.o.MemberOf != "" {
		parents, err = a.readParents(ctx, g.dn)
	} else {
		parents, err = a.searchGroups(ctx, "", g.dn)
	}
	if err != nil {
		return nil, err
	}
	a.tree.put(g.key, parents, asked)
	return parents, nil
}

func (a *Authenticator) readParents(ctx context.Context, dn string) ([]group, error) {
	entries, err := a.search(ctx, dn, ldap.ScopeBaseObject, "(objectClass=*)", 1, a.o.MemberOf)
	switch {
	case codeOf(err) == ldap.LDAPResultNoSuchObject: // deleted since
		return nil, nil
	case err != nil:
		return nil, err
	case len(entries) == 0:
		return nil, nil
	}
	if err := wholly(entries[0].entry, a.o.MemberOf); err != nil {
		return nil, err
	}
	return a.named(entries[0].entry.GetEqualFoldAttributeValues(a.o.MemberOf)), nil
}

// holds reports whether what was found at a time still counts: it is not older
// than Refresh, nor than the last round in which everybody was looked up again.
func (a *Authenticator) holds(found time.Time) bool {
	return a.o.Now().Sub(found) < a.o.Refresh && !found.Before(a.known.round())
}
