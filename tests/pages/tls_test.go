package pages_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
	"github.com/orbitd/orbitd/tests/scene"
)

// The demo of "make run" with TLS, by an authority of one's own: a browser that trusts
// it chats by every transport, logs in, and outlives the daemon; any other refuses.
func TestDemoOverTLS(t *testing.T) {
	installed(t)
	d := scene.NewDaemon(t, "")
	authority := tlstest.NewAuthority()
	tlstest.Write(t, filepath.Dir(d.File("orbitd.toml")), authority.Certificate())
	text, err := os.ReadFile("../../etc/demo.toml")
	must(t, err)
	demo := strings.NewReplacer(
		`http    = "127.0.0.1:8080"`, fmt.Sprintf("http = %q\nhttps = %q", d.Address, d.Secure),
		"127.0.0.1:61613", "", "127.0.0.1:8090", "", "../var/", "",
		"demo.users", absolute(t, "../../etc/demo.users"),
		"[engine]", "[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n\n[engine]",
		`hosts   = ["localhost"]`, `hosts = ["localhost", "127.0.0.1"] # where Ready asks`,
	).Replace(string(text))
	must(t, os.WriteFile(d.File("orbitd.toml"), []byte(demo), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d.Start()
	d.Ready(ctx)
	url := "https://" + strings.Replace(d.Secure, "127.0.0.1", "localhost", 1) + "/"
	trusting := t.TempDir()
	trust(t, trusting, authority.PEM())
	play(ctx, t, trusting, "secure.js", []string{url, "trusted"}, map[string]func(){
		"restart": func() {
			d.Kill()
			d.Start()
			d.Ready(ctx)
		},
	})
	play(ctx, t, t.TempDir(), "secure.js", []string{url, "unknown"}, nil)
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	must(t, err)
	return path
}

// trust has a browser with that home folder trust an authority.
func trust(t *testing.T, home string, authority []byte) {
	t.Helper()
	folder := filepath.Join(home, ".pki", "nssdb")
	must(t, os.MkdirAll(folder, 0o700))
	file := filepath.Join(home, "ca.pem")
	must(t, os.WriteFile(file, authority, 0o600))
	for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-n", "ours", "-t", "C,,", "-i", file}} {
		if out, err := exec.Command("certutil", append([]string{"-d", "sql:" + folder}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("certutil %s (package libnss3-tools): %v\n%s", args, err, out)
		}
	}
}
