package fileauth_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/argon2"

	"github.com/orbitd/orbitd/pkg/auth"
	"github.com/orbitd/orbitd/pkg/auth/fileauth"
)

// reference is "password" as the reference implementation's tests have it.
const reference = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"

func TestAuthenticate(t *testing.T) {
	path := usersFile(t, "# people", "", line("alice", "wonderland", "editors,staff"), line("bob", "builder", ""), "ref:"+reference+":")
	a := open(t, path)
	for _, tc := range []struct {
		name   string
		creds  auth.Credentials
		err    error
		groups []string
	}{
		{"right", auth.Credentials{User: "alice", Password: "wonderland"}, nil, []string{"editors", "staff"}},
		{"no groups", auth.Credentials{User: "bob", Password: "builder"}, nil, nil},
		{"hashed elsewhere", auth.Credentials{User: "ref", Password: "password"}, nil, nil},
		{"wrong", auth.Credentials{User: "alice", Password: "builder"}, auth.ErrDenied, nil},
		{"longer", auth.Credentials{User: "alice", Password: "wonderland "}, auth.ErrDenied, nil},
		{"NUL behind it", auth.Credentials{User: "alice", Password: "wonderland\x00"}, auth.ErrDenied, nil},
		{"no password", auth.Credentials{User: "alice"}, auth.ErrDenied, nil},
		{"no password, nobody", auth.Credentials{User: "carol"}, auth.ErrDenied, nil},
		{"far too long", auth.Credentials{User: "alice", Password: strings.Repeat("x", fileauth.MaxPassword+1)}, auth.ErrDenied, nil},
		{"nobody", auth.Credentials{User: "carol", Password: "x"}, auth.ErrPass, nil},
		{"upper case", auth.Credentials{User: "Alice", Password: "wonderland"}, auth.ErrPass, nil},
		{"space", auth.Credentials{User: "alice ", Password: "wonderland"}, auth.ErrPass, nil},
		{"a comment", auth.Credentials{User: "# people", Password: "x"}, auth.ErrPass, nil},
		{"no user", auth.Credentials{Password: "wonderland"}, auth.ErrPass, nil},
		{"a token", auth.Credentials{User: "alice", Password: "wonderland", Token: "x"}, auth.ErrPass, nil},
	} {
		id, err := a.Authenticate(t.Context(), tc.creds)
		if !errors.Is(err, tc.err) || (err == nil) != (id != nil) {
			t.Errorf("%s: %+v, %v; want %v", tc.name, id, err, tc.err)
		} else if id != nil && (id.User != tc.creds.User || !slices.Equal(id.Groups, tc.groups) || !id.Expires.IsZero()) {
			t.Errorf("%s: %+v", tc.name, id)
		}
		if err != nil && tc.creds.Password != "" && strings.Contains(err.Error(), tc.creds.Password+`"`) {
			t.Errorf("%s: the password is in the error: %v", tc.name, err)
		}
	}
}

// TestTurns: a password waits for its turn to be hashed; who is not in the file does not,
// and whoever is to know them behind it need not.
func TestTurns(t *testing.T) {
	a := open(t, usersFile(t, line("alice", "wonderland", "")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, want := range map[string]error{"alice": context.Canceled, "nobody": auth.ErrPass} {
		_, err := a.Authenticate(ctx, auth.Credentials{User: name, Password: "wonderland"})
		if !errors.Is(err, want) || errors.Is(err, auth.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReload(t *testing.T) {
	path := usersFile(t, line("alice", "wonderland", "editors"))
	a := open(t, path)
	login := func(name, password string) error {
		_, err := a.Authenticate(t.Context(), auth.Credentials{User: name, Password: password})
		return err
	}
	write(t, path, line("bob", "builder", ""), "alice:oops")
	if err := a.Reload(); err == nil || !strings.Contains(err.Error(), path+":2: ") {
		t.Errorf("reload of a file with a mistake: %v", err)
	}
	if err := errors.Join(os.Remove(path), login("alice", "wonderland")); err != nil {
		t.Errorf("the old users are gone: %v", err)
	}
	if err := a.Reload(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("reload of no file: %v", err)
	}
	write(t, path, line("bob", "builder", "staff"))
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := login("alice", "wonderland"); !errors.Is(err, auth.ErrPass) {
		t.Errorf("alice is still there: %v", err)
	}
	if err := login("bob", "builder"); err != nil {
		t.Errorf("bob is not there: %v", err)
	}
	if _, err := a.Refresh(t.Context(), "alice"); !errors.Is(err, auth.ErrDenied) {
		t.Errorf("refresh of alice: %v", err)
	}
	if id, err := a.Refresh(t.Context(), "bob"); err != nil || !slices.Equal(id.Groups, []string{"staff"}) {
		t.Errorf("refresh of bob: %+v, %v", id, err)
	}
}

func TestReloadWhileInUse(t *testing.T) {
	path := usersFile(t, line("alice", "wonderland", ""))
	a := open(t, path)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if _, err := a.Authenticate(t.Context(), auth.Credentials{User: "alice", Password: "wonderland"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 50 {
		if err := a.Reload(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

func TestMistakes(t *testing.T) {
	good := cheap("x")
	for _, tc := range []struct{ line, want string }{
		{"alice", "1 parts, not 3"},
		{"alice:" + good, "2 parts, not 3"},
		{"alice:" + good + "::", "4 parts, not 3"},
		{":" + good + ":", "name is empty"},
		{"al ice:" + good + ":", `' ' is not allowed`},
		{"älice:" + good + ":", "is not allowed"},
		{"a/b:" + good + ":", "is not allowed"},
		{"$sys:" + good + ":", "is not allowed"},
		{"*:" + good + ":", "is not allowed"},
		{"{user}:" + good + ":", "is not allowed"},
		{"..:" + good + ":", "not a user's name"},
		{strings.Repeat("a", 129) + ":" + good + ":", "more than 128"},
		{"alice:" + good + ":a,,b", "name is empty"},
		{"alice:" + good + ":a,a", "stands twice"},
		{"alice:" + good + ":a b", "not allowed"},
		{"alice:" + good + ":a\x7fb", "not allowed"},
		{"alice:" + good + ":" + strings.Repeat("g", 129), "more than 128"},
		{"alice::", "in place of the hash"},
		{"alice:secret:", "in place of the hash"},
		{"alice:$2b$12$abcdefghijk:", `kind "2b"`},
		{"alice:" + strings.Replace(good, "argon2id", "argon2i", 1) + ":", `kind "argon2i"`},
		{"alice:" + good + "$x:", "missing or too many"},
		{"alice:" + strings.Replace(good, "v=19", "v=16", 1) + ":", `version "v=16"`},
		{"alice:" + strings.Replace(good, "m=8,", "", 1) + ":", "not of the form"},
		{"alice:" + strings.Replace(good, "m=8", "m=-8", 1) + ":", "not of the form"},
		{"alice:" + strings.Replace(good, "m=8", "n=8", 1) + ":", "not of the form"},
		{"alice:" + strings.Replace(good, "m=8", "m=4000000", 1) + ":", "out of range"},
		{"alice:" + strings.Replace(good, "t=1", "t=0", 1) + ":", "out of range"},
		{"alice:" + strings.Replace(good, "t=1", "t=1000", 1) + ":", "out of range"},
		{"alice:" + strings.Replace(good, "p=1", "p=16", 1) + ":", "8 times p"},
		{"alice:$argon2id$v=19$m=8,t=1,p=1$c2FsdA$" + strings.Repeat("A", 22) + ":", "salt has 4 bytes"},
		{"alice:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAA:", "last part has 3 bytes"},
		{"alice:$argon2id$v=19$m=8,t=1,p=1$!$AAAA:", "not base64"},
		{"alice:$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ=$AAAA:", "not base64"},
	} {
		path := usersFile(t, "", tc.line)
		_, err := fileauth.New(fileauth.Options{Path: path})
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), path+":2: ") {
			t.Errorf("%s: %v, want %q", tc.line, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("what stands in place of the hash is told: %v", err)
		}
	}
}

// TestAllMistakes: one run tells all of them.
func TestAllMistakes(t *testing.T) {
	path := usersFile(t, line("alice", "x", ""), "# x", "bob", line("alice", "y", ""), line("carol", "z", ","))
	_, err := fileauth.New(fileauth.Options{Path: path})
	want := fmt.Sprintf("%[1]s:3: want name:hash:group,group, and there are 1 parts, not 3\n"+
		"%[1]s:4: user \"alice\" stands at line 1 already\n"+
		"%[1]s:5: user \"carol\": a group's name is empty", path)
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if _, ok := errors.AsType[*fileauth.LineError](err); !ok {
		t.Error("no LineError among them")
	}
	if _, err := fileauth.New(fileauth.Options{}); err == nil {
		t.Error("made without a path")
	}
}

func open(t *testing.T, path string) *fileauth.Authenticator {
	t.Helper()
	a, err := fileauth.New(fileauth.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// line returns a user's line with a hash that costs next to nothing.
func line(name, password, groups string) string { return name + ":" + cheap(password) + ":" + groups }

func cheap(password string) string {
	salt := []byte("salt of " + password)
	b64 := base64.RawStdEncoding.EncodeToString
	return "$argon2id$v=19$m=8,t=1,p=1$" + b64(salt) + "$" + b64(argon2.IDKey([]byte(password), salt, 1, 8, 1, 32))
}

func usersFile(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	write(t, path, lines...)
	return path
}

func write(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}
