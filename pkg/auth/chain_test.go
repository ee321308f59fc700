package auth_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/message"
)

// scripted answers always the same and remembers that it was asked.
type scripted struct {
	id    *auth.Identity
	err   error
	asked bool
}

func (s *scripted) Authenticate(context.Context, auth.Credentials) (*auth.Identity, error) {
	s.asked = true
	return s.id, s.err
}

// directory is a scripted one that can also tell about its users later.
type directory struct {
	scripted
	groups map[string][]string
	down   error
}

func (d *directory) Refresh(_ context.Context, user string) (*auth.Identity, error) {
	if d.down != nil {
		return nil, d.down
	}
	groups, ok := d.groups[user]
	if !ok {
		return nil, fmt.Errorf("%w: gone", auth.ErrDenied)
	}
	return &auth.Identity{User: user, Groups: groups}, nil
}

var (
	alice   = &auth.Identity{User: "alice"}
	errPass = fmt.Errorf("%w: nobody", auth.ErrPass)
	errDeny = fmt.Errorf("%w: wrong password", auth.ErrDenied)
	errDown = errors.New("connection refused")
)

func TestChain(t *testing.T) {
	for _, tc := range []struct {
		name          string
		first, second scripted
		realm         string
		code          message.Code
		asksSecond    bool
	}{
		{"the first knows", scripted{id: alice}, scripted{id: alice}, "first", "", false},
		{"the first passes on", scripted{err: errPass}, scripted{id: alice}, "second", "", true},
		{"a definite no ends it", scripted{err: errDeny}, scripted{id: alice}, "", message.Unauthorized, false},
		{"an unknown answer ends it", scripted{err: errDown}, scripted{id: alice}, "", message.Unavailable, false},
		{"nobody knows", scripted{err: errPass}, scripted{err: errPass}, "", message.Unauthorized, true},
		{"passed on to one that is down", scripted{err: errPass}, scripted{err: errDown}, "", message.Unavailable, true},
		{"an identity without a user", scripted{id: &auth.Identity{}}, scripted{id: alice}, "", message.Internal, false},
		{"no identity and no error", scripted{}, scripted{id: alice}, "", message.Internal, false},
		{"an identity beside an error", scripted{id: alice, err: errDeny}, scripted{}, "", message.Unauthorized, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			first, second := tc.first, tc.second
			c := auth.NewChain([]auth.Named{{Name: "first", Authenticator: &first}, {Name: "second", Authenticator: &second}}, nil)
			id, err := c.Authenticate(t.Context(), auth.Credentials{User: "alice", Password: "x"})
			check(t, id, err, tc.realm, tc.code)
			if second.asked != tc.asksSecond {
				t.Errorf("second asked: %t", second.asked)
			}
		})
	}
	if alice.Realm != "" {
		t.Error("the chain writes into what an authenticator gave it")
	}
}

func TestEmptyChain(t *testing.T) {
	_, err := auth.NewChain(nil, nil).Authenticate(t.Context(), auth.Credentials{User: "alice", Password: "x"})
	check(t, nil, err, "", message.Unauthorized)
}

// TestPeersLearnNothing: what a peer is told does not depend on what was wrong.
func TestPeersLearnNothing(t *testing.T) {
	var texts []string
	for _, err := range []error{errPass, errDeny} {
		c := auth.NewChain([]auth.Named{{Name: "file", Authenticator: &scripted{err: err}}}, nil)
		_, err := c.Authenticate(t.Context(), auth.Credentials{User: "alice", Password: "x"})
		texts = append(texts, message.AsError(err).Text)
	}
	if texts[0] != texts[1] {
		t.Errorf("told apart: %q", texts)
	}
}

// TestWhyNobodyKnowsAToken: operators are told what each authenticator of tokens has seen in
// it, and peers nothing.
func TestWhyNobodyKnowsAToken(t *testing.T) {
	tokens := func(why string) *doubtful {
		return &doubtful{scripted: scripted{err: fmt.Errorf("%w: %s", auth.ErrPass, why)}}
	}
	c := auth.NewChain([]auth.Named{
		{Name: "file", Authenticator: &scripted{err: errPass}}, {Name: "sso", Authenticator: tokens("another issuer")}, {Name: "own", Authenticator: tokens("no such key")},
	}, nil)
	_, err := c.Authenticate(t.Context(), auth.Credentials{Token: "x"})
	e := message.AsError(err)
	if want := "not known here by any authenticator: sso: another issuer; own: no such key"; fmt.Sprint(e.Cause) != want || e.Text != "wrong user name, password or token" {
		t.Errorf("%q because of %q, want %q", e.Text, e.Cause, want)
	}
	_, err = c.Authenticate(t.Context(), auth.Credentials{User: "alice", Password: "x"})
	if want := `user "alice": not known here by any authenticator`; fmt.Sprint(message.AsError(err).Cause) != want {
		t.Errorf("because of %q, want %q", message.AsError(err).Cause, want)
	}
}

// hesitant is a scripted one that takes its time.
type hesitant struct {
	scripted
	pretended string
}

func (s *hesitant) Pretend(_ context.Context, _ auth.Credentials, asked bool) {
	s.pretended += fmt.Sprintf("asked %t;", asked)
}

// TestRefusalsTakeAsLong: where a password is refused, all whose word counts take their time
// once, whoever has refused it; where it is not, nobody does more than was asked.
func TestRefusalsTakeAsLong(t *testing.T) {
	password, realm := auth.Credentials{User: "alice", Password: "x", App: "chat"}, func(string) []string { return []string{"first", "second"} }
	for _, tc := range []struct {
		name          string
		first, second scripted
		creds         auth.Credentials
		want          [3]string // the third does not count
	}{
		{"the first knows", scripted{id: alice}, scripted{}, password, [3]string{}},
		{"the second knows", scripted{err: errPass}, scripted{id: alice}, password, [3]string{}},
		{"the first refuses", scripted{err: errDeny}, scripted{}, password, [3]string{1: "asked false;"}},
		{"the second refuses", scripted{err: errPass}, scripted{err: errDeny}, password, [3]string{0: "asked true;"}},
		{"nobody knows", scripted{err: errPass}, scripted{err: errPass}, password, [3]string{"asked true;", "asked true;"}},
		{"the second is down", scripted{err: errPass}, scripted{err: errDown}, password, [3]string{}},
		{"a token", scripted{err: errPass}, scripted{err: errDeny}, auth.Credentials{Token: "x", App: "chat"}, [3]string{}},
	} {
		all := [3]hesitant{{scripted: tc.first}, {scripted: tc.second}, {scripted: scripted{err: errPass}}}
		c := auth.NewChain([]auth.Named{{Name: "first", Authenticator: &all[0]}, {Name: "second", Authenticator: &all[1]}, {Name: "third", Authenticator: &all[2]}}, realm)
		_, _ = c.Authenticate(t.Context(), tc.creds)
		for i, want := range tc.want {
			if all[i].pretended != want {
				t.Errorf("%s: number %d pretends %q, want %q", tc.name, i+1, all[i].pretended, want)
			}
		}
	}
}

func TestRealms(t *testing.T) {
	realms := func(app string) []string {
		return map[string][]string{"chat": {"ldap"}, "news": {"ldap", "file"}}[app]
	}
	for _, tc := range []struct {
		name  string
		creds auth.Credentials
		realm string
		code  message.Code
		asked []string
	}{
		{"a password goes to its realm alone", auth.Credentials{User: "alice", Password: "x", App: "chat"}, "ldap", "", []string{"ldap"}},
		{"in order", auth.Credentials{User: "alice", Password: "x", App: "news"}, "file", "", []string{"file"}},
		{"no application in particular", auth.Credentials{User: "alice", Password: "x"}, "file", "", []string{"file"}},
		{"an application without a realm", auth.Credentials{User: "alice", Password: "x", App: "other"}, "", message.Unauthorized, nil},
		{"a token speaks for the realm it names", auth.Credentials{Token: "x", App: "chat"}, "ldap", "", []string{"file", "token"}},
		{"and for no other", auth.Credentials{Token: "x", App: "other"}, "", message.Unauthorized, []string{"file", "token"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := &scripted{id: alice}
			if tc.creds.Token != "" {
				file = &scripted{err: errPass}
			}
			token := &scripted{id: &auth.Identity{User: "alice", Realm: "ldap", Groups: []string{"then"}}}
			ldap := &directory{scripted: scripted{id: alice}, groups: map[string][]string{"alice": {"now"}}}
			c := auth.NewChain([]auth.Named{{"file", file}, {"token", token}, {"ldap", ldap}}, realms)
			id, err := c.Authenticate(t.Context(), tc.creds)
			check(t, id, err, tc.realm, tc.code)
			var asked []string
			for name, wasAsked := range map[string]bool{"file": file.asked, "token": token.asked, "ldap": ldap.asked} {
				if wasAsked {
					asked = append(asked, name)
				}
			}
			if slices.Sort(asked); !slices.Equal(asked, tc.asked) {
				t.Errorf("asked %q, want %q", asked, tc.asked)
			}
			if tc.creds.Token != "" && id != nil && !slices.Equal(id.Groups, []string{"now"}) {
				t.Errorf("groups %q are the token's, not the directory's", id.Groups)
			}
		})
	}
}

// TestTokenOutlivesItsUser: a token counts as long as its user does.
func TestTokenOutlivesItsUser(t *testing.T) {
	expires := time.Unix(2_000_000_000, 0)
	for _, tc := range []struct {
		name  string
		realm string
		dir   *directory
		code  message.Code
	}{
		{"still there", "dir", &directory{groups: map[string][]string{"alice": nil}}, ""},
		{"gone", "dir", &directory{}, message.Unauthorized},
		{"cannot be told", "dir", &directory{down: errDown}, message.Unavailable},
		{"its authenticator is gone", "other", &directory{}, message.Unauthorized},
	} {
		t.Run(tc.name, func(t *testing.T) {
			token := &scripted{id: &auth.Identity{User: "alice", Realm: tc.realm, Expires: expires}}
			c := auth.NewChain([]auth.Named{{"token", token}, {"dir", tc.dir}}, nil)
			id, err := c.Authenticate(t.Context(), auth.Credentials{Token: "x"})
			check(t, id, err, tc.realm, tc.code)
			if id != nil && !id.Expires.Equal(expires) {
				t.Errorf("expires %v", id.Expires)
			}
		})
	}
}

func TestRefresh(t *testing.T) {
	dir := &directory{groups: map[string][]string{"alice": {"now"}}}
	c := auth.NewChain([]auth.Named{{"dir", dir}, {"plain", &scripted{}}}, nil)
	before := &auth.Identity{User: "alice", Realm: "dir", Groups: []string{"then"}}
	now, err := c.Refresh(t.Context(), before)
	if err != nil || !slices.Equal(now.Groups, []string{"now"}) || now.Realm != "dir" || !slices.Equal(before.Groups, []string{"then"}) {
		t.Errorf("%+v became %+v, %v", before, now, err)
	}
	plain := &auth.Identity{User: "alice", Realm: "plain", Groups: []string{"then"}}
	if now, err := c.Refresh(t.Context(), plain); err != nil || now != plain {
		t.Errorf("%+v, %v", now, err)
	}
}

// doubtful looks at tokens, and believes in what it has found good for as long as it is
// told to.
type doubtful struct {
	scripted
	doubts error
}

func (d *doubtful) Believes(context.Context, string) error { return d.doubts }
func (d *doubtful) Changed() <-chan struct{}               { return nil }

// What a proof rests on is asked for again where the user comes from another realm, too;
// with whoever has believed it, the proof is gone.
func TestProofs(t *testing.T) {
	users := &directory{groups: map[string][]string{"alice": {"staff"}}}
	for _, realm := range []string{"tokens", "users"} {
		tokens := &doubtful{scripted: scripted{id: &auth.Identity{User: "alice", Realm: realm, Proof: "key"}}}
		members := []auth.Named{{Name: "tokens", Authenticator: tokens}, {Name: "users", Authenticator: users}}
		id, err := auth.NewChain(members, nil).Authenticate(t.Context(), auth.Credentials{Token: "t"})
		check(t, id, err, realm, "")
		for _, c := range []struct {
			doubts error
			by     []auth.Named
			code   message.Code
		}{
			{nil, members, ""},
			{errDeny, members, message.Unauthorized},
			{errDown, members, message.Unavailable},
			{nil, members[1:], message.Unauthorized},
			{nil, []auth.Named{{Name: "tokens", Authenticator: &scripted{}}, members[1]}, message.Unauthorized},
		} {
			tokens.doubts = c.doubts
			now, err := auth.NewChain(c.by, nil).Refresh(t.Context(), id)
			if c.code == "" && now.Proof != "key" {
				t.Errorf("it rests on %q", now.Proof)
			}
			check(t, now, err, realm, c.code)
		}
	}
}

func TestExpired(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, tc := range []struct {
		id   *auth.Identity
		want bool
	}{
		{nil, false},
		{&auth.Identity{}, false},
		{&auth.Identity{Expires: now.Add(1)}, false},
		{&auth.Identity{Expires: now}, true},
	} {
		if got := tc.id.Expired(now); got != tc.want {
			t.Errorf("%+v expired: %t", tc.id, got)
		}
	}
}

func TestEmptyCredentials(t *testing.T) {
	if !(auth.Credentials{App: "chat"}).Empty() || (auth.Credentials{User: "a"}).Empty() || (auth.Credentials{Token: "a"}).Empty() {
		t.Error("Empty")
	}
}

func check(t *testing.T, id *auth.Identity, err error, realm string, code message.Code) {
	t.Helper()
	if message.CodeOf(err) != code {
		t.Fatalf("error %v, want code %q", err, code)
	}
	if err != nil {
		if id != nil {
			t.Errorf("identity %+v beside an error", id)
		}
		return
	}
	if id == nil || id.User != "alice" || id.Realm != realm {
		t.Errorf("identity %+v, want alice of %s", id, realm)
	}
}
