// Package samba tests the LDAP authenticator against Active Directory: a domain
// controller of Samba's, which tests/samba/run starts in a guest.
package samba
