package ldapauth

import (
	"slices"
	"strings"

	ldap "github.com/go-ldap/ldap/v3"
)

// fill returns a filter with values in place of {user} and {dn}, as literals (RFC
// 4515, section 3): what is put in is not looked at again.
func fill(filter, user, dn string) string {
	return strings.NewReplacer("{user}", ldap.EscapeFilter(user), "{dn}", ldap.EscapeFilter(dn)).Replace(filter)
}

// fillDN returns a DN with a value in place of {user}, as a literal (RFC 4514,
// section 2.4).
func fillDN(form, user string) string {
	return strings.ReplaceAll(form, "{user}", ldap.EscapeDN(user))
}

// equals returns the filter for an attribute's value.
func equals(attribute, value string) string {
	return "(" + attribute + "=" + ldap.EscapeFilter(value) + ")"
}

// anyOf returns the filter that one of filters fits.
func anyOf(filters []string) string { return "(|" + strings.Join(filters, "") + ")" }

// foldDN returns a DN in the one form in which it is compared and named in rules:
// lower case, without spaces around its separators, and with no more escapes than
// RFC 4514 asks for. What is no DN is returned as it is, in lower case.
func foldDN(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return strings.ToLower(dn)
	}
	rdns := make([]string, len(parsed.RDNs))
	for i, rdn := range parsed.RDNs {
		parts := make([]string, len(rdn.Attributes))
		for j, a := range rdn.Attributes {
			parts[j] = strings.ToLower(a.Type) + "=" + ldap.EscapeDN(strings.ToLower(a.Value))
		}
		slices.Sort(parts)
		rdns[i] = strings.Join(parts, "+")
	}
	return strings.Join(rdns, ",")
}

// rdn returns the value that the first part of a DN has for an attribute.
func rdn(dn, attribute string) (value string, ok bool) {
	parsed, err := ldap.ParseDN(dn)
	if err != nil || len(parsed.RDNs) == 0 {
		return "", false
	}
	for _, a := range parsed.RDNs[0].Attributes {
		if strings.EqualFold(a.Type, attribute) {
			return a.Value, true
		}
	}
	return "", false
}

// below reports whether a folded DN stands below a folded base.
func below(dn, base string) bool { return base == "" || strings.HasSuffix(dn, ","+base) }
