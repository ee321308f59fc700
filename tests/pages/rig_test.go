package pages_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/tests/scene"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long nothing at all may happen before a test gives up. It asserts
// nothing about speed.
const patience = 2 * time.Minute

// play runs a script of tests/browser, in a home folder if one is said, and does what
// there is to do on each line that it says.
func play(ctx context.Context, t *testing.T, home, script string, args []string, on map[string]func()) {
	t.Helper()
	cmd := exec.CommandContext(ctx, "node", append([]string{script}, args...)...)
	cmd.Dir = "../browser"
	if home != "" {
		cmd.Env = append(os.Environ(), "HOME="+home)
	}
	scene.Converse(t, cmd, on)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// installed skips a short test, and fails any other where there is no browser.
func installed(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes both processors for half a minute")
	}
	check := exec.Command("node", "--input-type=module", "-e", "import 'puppeteer-core'; import { statSync } from 'node:fs'; statSync(process.env.ORBITD_CHROMIUM || '/usr/bin/chromium')")
	check.Dir = "../browser"
	if out, err := check.CombinedOutput(); err != nil {
		t.Fatalf("a browser and tests/browser's packages, which tests/run installs: %v\n%s", err, out)
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
}
