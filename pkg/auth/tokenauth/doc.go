// Package tokenauth issues and checks signed tokens: JSON Web Tokens (RFC 7519)
// with EdDSA over Ed25519 (RFC 8037), and no other algorithm.
//
// It knows nothing of passwords, cookies, or where a token travels.
package tokenauth
