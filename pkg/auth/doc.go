// Package auth turns credentials into an identity: it declares what an
// [Authenticator] is and asks several of them in order ([Chain]). Packages
// below it are authenticators: fileauth, ldapauth, tokenauth.
//
// It knows nothing of channels, rules, sessions or how credentials arrive.
package auth
