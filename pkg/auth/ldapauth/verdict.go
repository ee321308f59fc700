package ldapauth

import (
	"errors"
	"fmt"
	"regexp"

	ldap "github.com/go-ldap/ldap/v3"
)

var (
	// errRefused is the directory's definite no to a bind.
	errRefused = errors.New("the directory refuses the bind")
	// errAccount is one although the password is right.
	errAccount = fmt.Errorf("%w: the password is right", errRefused)
)

// judge returns what the answer to a user's bind means. A code that is not known
// to be about this user is no verdict.
func judge(r *ldap.SimpleBindResult, err error) error {
	policy := policyOf(r)
	refused := errRefused
	if provesPassword(policy, err) {
		refused = errAccount
	}
	switch codeOf(err) {
	case ldap.LDAPResultSuccess:
		// Of these, changeAfterReset comes with success, and allows nothing but to
		// set another password.
		if policy == nil {
			return nil
		}
		return fmt.Errorf("%w: %s", refused, policy.ErrorString)
	case ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax:
		if policy != nil {
			return fmt.Errorf("%w: %s: %w", refused, policy.ErrorString, err)
		}
		return fmt.Errorf("%w: %w", refused, reason(err))
	}
	return reason(err)
}

// policyOf returns what a password policy has against the account
// (draft-behera-ldap-password-policy, section 6.2), or nothing.
func policyOf(r *ldap.SimpleBindResult) *ldap.ControlBeheraPasswordPolicy {
	if r == nil {
		return nil
	}
	c, ok := ldap.FindControl(r.Controls, ldap.ControlTypeBeheraPasswordPolicy).(*ldap.ControlBeheraPasswordPolicy)
	if !ok || c.Error < 0 {
		return nil
	}
	return c
}

// provesPassword reports whether a refusal says that the password is right: what
// else is wrong with an account, a directory tells but to who has it. That it is
// locked it tells everybody.
func provesPassword(policy *ldap.ControlBeheraPasswordPolicy, err error) bool {
	if policy != nil {
		return policy.Error == ldap.BeheraPasswordExpired || policy.Error == ldap.BeheraChangeAfterReset
	}
	code := codeOfAD(err)
	return code != "" && code != wrongPassword && code != noSuchUser && code != locked
}

// adCode finds Active Directory's reason in what it says beside code 49.
var adCode = regexp.MustCompile(`\bdata ([0-9a-f]{3,8})\b`)

const wrongPassword, noSuchUser, locked = "52e", "525", "775"

var adReasons = map[string]string{
	noSuchUser: "no such user", wrongPassword: "wrong password", "530": "not at this time", "531": "not from this computer",
	"532": "the password has expired", "533": "the account is disabled", "701": "the account has expired",
	"773": "the password must be changed first", locked: "the account is locked",
}

// codeOfAD returns the reason that Active Directory gives, if it is a known one.
func codeOfAD(err error) string {
	if err == nil {
		return ""
	}
	m := adCode.FindStringSubmatch(err.Error())
	if m == nil || adReasons[m[1]] == "" {
		return ""
	}
	return m[1]
}

// reason adds to a server's answer what it means, for the log.
func reason(err error) error {
	e, ok := errors.AsType[*ldap.Error](err)
	if !ok || !answered(err) {
		return err
	}
	if code := codeOfAD(err); code != "" {
		return fmt.Errorf("%s: %w", adReasons[code], err)
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
