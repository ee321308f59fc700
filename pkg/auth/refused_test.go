package auth_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	logged "github.com/sirupsen/logrus/hooks/test"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/message"
)

// TestLogRefused: operators are told who was refused and why, in one line that a peer cannot
// make long, and of nothing else.
func TestLogRefused(t *testing.T) {
	from := netip.MustParseAddr("192.0.2.7")
	refused := message.Errorf(message.Unauthorized, "wrong user name, password or token")
	long := *refused
	long.Cause = errors.New(strings.Repeat("x", 9000))
	why := *refused
	why.Cause = errors.New("ldap: denied: the account is locked")
	for _, c := range []struct {
		err  error
		want string // empty: nothing is logged
	}{
		{refused, "wrong user name, password or token"},
		{&why, "ldap: denied: the account is locked"},
		{&long, strings.Repeat("x", 400) + "…"},
		{message.Errorf(message.RateLimited, "too many wrong passwords"), ""},
		{message.Errorf(message.Unavailable, "try again later"), ""},
		{nil, ""},
	} {
		log, lines := logged.NewNullLogger()
		auth.LogRefused(log, from, c.err)
		switch last := lines.LastEntry(); {
		case c.want == "" && last != nil:
			t.Errorf("%v: %v", c.err, last)
		case c.want != "" && (last == nil || last.Level != logrus.InfoLevel || last.Message != "a login was refused" || last.Data["client"] != from || last.Data["reason"] != c.want):
			t.Errorf("%v: %v", c.err, last)
		}
	}
}
