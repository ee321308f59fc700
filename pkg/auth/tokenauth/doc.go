// Package tokenauth issues and checks signed tokens: JSON Web Tokens (RFC 7519).
// Its own are signed with Ed25519; those of other issuers are checked with keys of
// one algorithm each, from a file or from the issuer's key set (RFC 7517), and what
// they claim is mapped to a user and groups.
//
// It knows nothing of passwords, cookies, or where a token travels.
package tokenauth
