package storm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/orbitd/orbitd/tests/scene"
	"github.com/orbitd/orbitd/tests/slapd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const site = `
[server]
http            = %q
ops             = ""
control         = ""
trusted_proxies = ["127.0.0.1"]  # so that a client may come from any address

[engine]
path         = "engine"
segment_size = "1MiB"
min_free     = "1MiB"

%s
%s
[[auth]]
type = "token"

[[channel]]
match     = "/open/**"
subscribe = ["*"]
publish   = ["*"]

[[channel]]
match     = "/desk/**"
subscribe = ["group:traders"]
`

const users = `
[[auth]]
type = "file"
path = "users"
`

// start runs a daemon whose users are in a directory, and before it where first says.
func start(t *testing.T, first string) (*scene.Daemon, *slapd.Server) {
	t.Helper()
	directory := slapd.Start(t, slapd.Options{})
	d := scene.NewDaemon(t, "")
	text := fmt.Sprintf(site, d.Address, first, directory.Section("password", `refresh = "1h"`, `remember = "1h"`,
		`dial_timeout = "8s"`)) // a busy machine is no dead server
	must(t, os.WriteFile(d.File("orbitd.toml"), []byte(text), 0o600))
	must(t, os.WriteFile(d.File("password"), []byte(slapd.ServicePassword), 0o600))
	again(t, d)
	return d, directory
}

// again starts the daemon, for the first time or after its end.
func again(t *testing.T, d *scene.Daemon) {
	t.Helper()
	d.Start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d.Ready(ctx)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// peak returns the most memory that a process has had so far, in MiB
// (proc_pid_status(5)).
func peak(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, rest, _ := bytes.Cut(status, []byte("VmHWM:"))
	kib, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	must(t, err)
	return kib >> 10
}

// login asks for a token as somebody at an address would.
func login(ctx context.Context, client *http.Client, d *scene.Daemon, user, password, from string) (status int, token string, err error) {
	form := url.Values{"user": {user}, "password": {password}}
	r, err := http.NewRequestWithContext(ctx, "POST", d.URL()+"/v1/login", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Forwarded-For", from)
	answer, err := client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	var got struct{ Token string }
	err = json.NewDecoder(answer.Body).Decode(&got)
	return answer.StatusCode, got.Token, err
}
