package fileauth

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/auth"
)

// TestNobodyCostsTheMost: the time of an answer does not tell who exists.
func TestNobodyCostsTheMost(t *testing.T) {
	users := map[string]user{"a": {hash: hash{memory: 8, time: 1, threads: 1}}, "b": {hash: hash{memory: 64, time: 3, threads: 2}}, "c": {hash: hash{memory: 16, time: 5, threads: 1}}}
	if h := costliest(users); h.memory != 64 || h.time != 3 || h.threads != 2 {
		t.Errorf("%+v", h)
	}
	if h := costliest(nil); h.memory != newMemory || h.time != newTime || h.threads != newThreads {
		t.Errorf("without users: %+v", h)
	}
}

// TestNobodyIsHashed: the memory that hashing takes shows that it was done. For nobody it
// is, but only once nobody else knows them either.
func TestNobodyIsHashed(t *testing.T) {
	const memory = 4 << 10 // KiB
	h := hash{memory: memory, time: 1, threads: 1, salt: make([]byte, saltLength), sum: make([]byte, sumLength)}
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(user{name: "alice", hash: h}.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := New(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	wrong := auth.Credentials{User: "alice", Password: "x"}
	nobody := auth.Credentials{User: "nobody", Password: "x"}
	for what, c := range map[string]struct {
		do     func()
		hashes bool
	}{
		"a wrong password": {func() { _, _ = a.Authenticate(t.Context(), wrong) }, true},
		"nobody":           {func() { _, _ = a.Authenticate(t.Context(), nobody) }, false},
		"pretended":        {func() { a.Pretend(t.Context(), nobody, true) }, true},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c.do()
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; taken >= memory<<10 != c.hashes {
			t.Errorf("%s: %d bytes were taken", what, taken)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("alice:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4:editors,staff")
	f.Add("# comment")
	f.Add("a:b:c")
	f.Fuzz(func(t *testing.T, line string) {
		u, ok, err := parseLine(line)
		if err != nil || !ok {
			return
		}
		if u.hash.memory > maxMemory || u.hash.time > maxTime || strings.ContainsAny(u.String(), "\n\r") {
			t.Fatalf("accepted: %v", u)
		}
		again, ok, err := parseLine(u.String())
		if err != nil || !ok || again.String() != u.String() {
			t.Fatalf("%q became %q, %v", u, again, err)
		}
	})
}
