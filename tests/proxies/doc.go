// Package proxies holds the tests of orbitd behind the proxies that people have in
// front of it: Debian's nginx, haproxy and Apache httpd, each with the settings that
// Debian ships and as little more as lets a request through; with the recipes in
// etc/proxies, which are run as they are; and set to be in the way.
//
//	go test ./tests/proxies                 # needs nginx, haproxy and apache2-bin
//	go test ./tests/proxies -args -idle     # also two minutes of silence
package proxies
