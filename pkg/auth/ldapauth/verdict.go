package ldapauth

import (
	"errors"
	"fmt"
	"regexp"

	ldap "github.com/go-ldap/ldap/v3"
)

// errRefused is the directory's definite no to a bind.
var errRefused = errors.New("the directory refuses the bind")

// judge returns what the answer to a user's bind means. A code that is not known
// to be about this user is no verdict.
func judge(r *ldap.SimpleBindResult, err error) error {
	why := policyOf(r)
	switch codeOf(err) {
	case ldap.LDAPResultSuccess:
		// Of these, changeAfterReset comes with success, and allows nothing but to
		// set another password.
		if why == nil || !why.refuses {
			return nil
		}
		return fmt.Errorf("%w: %s", errRefused, why.text)
	case ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax:
		if why != nil {
			return fmt.Errorf("%w: %s: %w", errRefused, why.text, reason(err))
		}
		return fmt.Errorf("%w: %w", errRefused, reason(err))
	}
	return reason(err)
}

// A policy is what a password policy says beside the result
// (draft-behera-ldap-password-policy, section 6.2).
type policy struct {
	text    string
	refuses bool
}

func policyOf(r *ldap.SimpleBindResult) *policy {
	if r == nil {
		return nil
	}
	c, ok := ldap.FindControl(r.Controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	if !ok || c.Error < 0 {
		return nil
	}
	return &policy{c.ErrorString, true}
}

// adCode finds Active Directory's reason in what it says beside code 49.
var adCode = regexp.MustCompile(`\bdata ([0-9a-f]{3,8})\b`)

var adReasons = map[string]string{
	"525": "no such user", "52e": "wrong password", "530": "not at this time", "531": "not from this computer",
	"532": "the password has expired", "533": "the account is disabled", "701": "the account has expired",
	"773": "the password must be changed first", "775": "the account is locked",
}

// reason adds to a server's answer what it means, for the log.
func reason(err error) error {
	e, ok := errors.AsType[*ldap.Error](err)
	if !ok || !answered(err) {
		return err
	}
	if m := adCode.FindStringSubmatch(e.Error()); m != nil && adReasons[m[1]] != "" {
		return fmt.Errorf("%s: %w", adReasons[m[1]], err)
	}
	switch e.ResultCode {
	case ldap.LDAPResultConfidentialityRequired, ldap.LDAPResultStrongAuthRequired:
		return fmt.Errorf("the directory wants TLS (write ldaps://, or start_tls = true): %w", err)
	case ldap.LDAPResultReferral:
		return fmt.Errorf("the directory refers to another server, which is not followed (referrals): %w", err)
	case ldap.LDAPResultSizeLimitExceeded, ldap.LDAPResultAdminLimitExceeded:
		return fmt.Errorf("the directory gives no more entries to this account: %w", err)
	}
	return err
}
