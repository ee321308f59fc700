package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orbitd/orbitd/pkg/tlsconf/tlstest"
	"github.com/orbitd/orbitd/tests/loopback"
)

// TestMain makes the test binary the orbitd that the scripts run, too.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"orbitd": func() { os.Exit(run(os.Args[1:])) }})
}

// TestScripts runs the command line as a user does: one file a topic. Besides
// testscript's own commands there are
//
//	exits CODE COMMAND...   run it; its exit code must be that
//	daemon start [FILE]     run "orbitd serve" until it is ready; its log is the file "log"
//	daemon clients N        wait until it has that many connections
//	daemon reload|stop|kill send SIGHUP, and wait for its outcome in the log; SIGTERM, and
//	                        exit code 0; SIGKILL
//	daemon send SIGNAL N    send HUP or TERM so many times, and wait for nothing
//	daemon ended            wait for its end; the exit code must be 0
//	until FILE REGEXP       wait until the file has a line that matches
//	mute SOCKET             listen there and answer nothing
//
// In the scripts' files $HTTP, $HTTPS and $OPS stand for free addresses; ca.pem is
// the authority of cert.pem and, after a renewal, of cert2.pem.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: setUp,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "daemon": controlDaemon, "until": until, "mute": mute,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

func setUp(e *testscript.Env) error {
	var addresses [3]string
	for i := range addresses {
		var err error
		if addresses[i], err = loopback.Free(); err != nil {
			return err
		}
	}
	e.Setenv("HTTP", addresses[0])
	e.Setenv("OPS", addresses[1])
	e.Setenv("HTTPS", addresses[2])
	e.Setenv("ORBITD_URL", "http://"+addresses[0])
	e.Values["served"] = &served{}
	fill := strings.NewReplacer("$HTTPS", addresses[2], "$HTTP", addresses[0], "$OPS", addresses[1])
	if err := writeCertificates(e.WorkDir); err != nil {
		return err
	}
	return filepath.WalkDir(e.WorkDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || filepath.Ext(path) != ".toml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(fill.Replace(string(text))), 0o600)
	})
}

func writeCertificates(folder string) error {
	a := tlstest.NewAuthority()
	files := map[string][]byte{"ca.pem": a.PEM()}
	files["cert.pem"], files["key.pem"] = tlstest.Encode(a.Certificate())
	files["cert2.pem"], files["key2.pem"] = tlstest.Encode(a.Certificate("renewed.example", "127.0.0.1"))
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got, err := 0, ts.Exec(args[1], args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// A served is the daemon of one script. The script's goroutine owns it.
type served struct {
	process *exec.Cmd
}

func controlDaemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: daemon start|clients|sessions|reload|send|stop|ended|kill")
	}
	s := ts.Value("served").(*served)
	switch args[0] {
	case "start":
		s.start(ts, append(args[1:], "orbitd.toml")[0])
	case "clients":
		s.ready(ts, `"connections":`+args[1]+`,`)
	case "sessions":
		s.ready(ts, `"sessions":`+args[1]+`,`)
	case "reload":
		outcomes := func() int { return strings.Count(ts.ReadFile("log"), "reloaded") }
		before := outcomes()
		ts.Check(s.process.Process.Signal(syscall.SIGHUP))
		wait(ts, "the outcome of the reload", func() bool { return outcomes() > before })
	case "send":
		s.send(ts, args[1], args[2])
	case "stop":
		s.send(ts, "TERM", "1")
		s.ended(ts)
	case "ended":
		s.ended(ts)
	case "kill":
		ts.Check(s.kill())
	default:
		ts.Fatalf("daemon %s?", args[0])
	}
}

func (s *served) start(ts *testscript.TestScript, file string) {
	if s.process != nil {
		ts.Fatalf("the daemon runs already")
	}
	log, err := os.OpenFile(ts.MkAbs("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer log.Close()
	self, err := os.Executable()
	ts.Check(err)
	s.process = exec.Command(self, "serve", "-c", file)
	s.process.Args[0] = "orbitd" // by which TestMain knows what to be
	s.process.Dir, s.process.Stderr = ts.MkAbs("."), log
	s.process.Env = append(os.Environ(), "STATE_DIRECTORY="+ts.Getenv("STATE_DIRECTORY"))
	ts.Check(s.process.Start())
	ts.Defer(func() {
		if s.process != nil {
			_ = s.kill() // the script has failed, or does not care
		}
	})
	s.ready(ts, "")
}

func (s *served) send(ts *testscript.TestScript, name, times string) {
	signal := map[string]os.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}[name]
	n, err := strconv.Atoi(times)
	ts.Check(err)
	for range n {
		ts.Check(s.process.Process.Signal(signal))
	}
}

// ended waits for the end that was asked for. It gives up long after it should
// have come.
func (s *served) ended(ts *testscript.TestScript) {
	patience := time.AfterFunc(30*time.Second, func() { _ = s.process.Process.Kill() })
	defer patience.Stop()
	ts.Check(s.process.Wait())
	s.process = nil
}

// ready waits until the daemon is, and says what is wanted of its state.
func (s *served) ready(ts *testscript.TestScript, want string) {
	wait(ts, "a daemon that is ready "+want, func() bool {
		r, err := http.Get("http://" + ts.Getenv("OPS") + "/readyz")
		if err != nil {
			return false
		}
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		return err == nil && r.StatusCode == http.StatusOK && strings.Contains(string(body), want)
	})
}

func (s *served) kill() error {
	err := s.process.Process.Kill()
	_ = s.process.Wait() // says that it was killed
	s.process = nil
	return err
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: until FILE REGEXP")
	}
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	wait(ts, args[0]+" to match "+args[1], func() bool {
		text, err := os.ReadFile(ts.MkAbs(args[0]))
		return err == nil && want.Match(text)
	})
}

// mute is a service manager whose daemon cannot start.
func mute(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: mute SOCKET")
	}
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
}

// wait polls until something is so. It gives up long after it should be.
func wait(ts *testscript.TestScript, what string, so func() bool) {
	for range 3000 {
		if so() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	log, _ := os.ReadFile(ts.MkAbs("log"))
	ts.Fatalf("%s", fmt.Sprintf("waited in vain for %s; the daemon's log:\n%s", what, log))
}
