// Package slapd runs private OpenLDAP servers for tests: a process of its own on
// ports of 127.0.0.1, in a folder of its own, with certificates that it makes, a
// directory of people and groups, and the overlays memberOf and ppolicy.
//
// It needs Debian's package slapd, and nothing of the system's own server.
package slapd
