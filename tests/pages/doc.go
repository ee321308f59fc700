// Package pages has a browser look at pages whose servers Go starts: a directory, and
// a daemon with TLS by an authority that nobody else knows. What the browser does is in
// tests/browser, by the same name.
package pages
