// Package attacks is a table of what an attacker tries against a daemon, each row a
// test. What is tried against one part alone stands with that part:
//
//   - LDAP: pkg/auth/ldapauth/attack_test.go (anonymous binds, StartTLS taken away,
//     referrals), fault_test.go (answers that are none)
//   - tokens: pkg/auth/tokenauth ("none", keys taken for others, times, audiences)
//   - guessing passwords: pkg/auth/guard_test.go, pkg/daemon/login_test.go
//   - requests that two parsers read differently: pkg/httpserver/smuggling_test.go
//   - frames and texts: pkg/transport/refusal_test.go, the fuzz tests of the codecs
//   - origins and names: pkg/origin/gate_test.go
package attacks
