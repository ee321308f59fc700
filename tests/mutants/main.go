// Mutants plants bugs into the code, one at a time, and sees whether the tests find
// them: a harness that has not caught a fault cannot be trusted to find the next.
//
//	make mutants                    # all
//	make mutants MUTANTS='-run 08'  # those whose name contains that
//
// The tree stays as it is: go test is given the changed file beside it (-overlay).
// A tenth of the engines' seeds must do. Exit status: 1 if a bug was not caught, or
// cannot be planted any more because the code has changed; then bugs.go or ldap.go is
// to follow.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// seeds is a tenth of what the conformance suite runs.
const seeds = "200"

// patience is how long the tests may take to find a bug; one that makes them wait
// for ever is found as well.
const patience = 5 * time.Minute

func main() {
	run := flag.String("run", "", "only bugs whose name contains `TEXT`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	missed := 0
	for _, b := range slices.Concat(bugs, ldapBugs, stompBugs) {
		if !strings.Contains(b.name, *run) || ctx.Err() != nil {
			continue
		}
		by, err := b.caught(ctx)
		if err != nil {
			missed++
			by = err.Error()
		}
		fmt.Printf("%s  %-75s  %s\n", b.name, b.what, by)
	}
	if missed > 0 || ctx.Err() != nil {
		fmt.Fprintf(os.Stderr, "mutants: %d not caught\n", missed)
		os.Exit(1)
	}
}

// caught plants b and returns which test failed.
func (b *bug) caught(ctx context.Context) (string, error) {
	folder, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(folder)
	overlay, err := b.plant(folder)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	begin := time.Now()
	wait := cmp.Or(b.wait, patience-10*time.Second)
	test := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", b.run, "-failfast", "-timeout", wait.String(), "./"+b.pkg)
	// By the environment, so that what a test builds has the bug, too.
	test.Env = append(os.Environ(), "ENGINETEST_SEEDS="+seeds, "GOFLAGS="+os.Getenv("GOFLAGS")+" -overlay="+overlay)
	out, err := test.CombinedOutput()
	took := time.Since(begin).Round(100 * time.Millisecond)
	if err == nil {
		return "", fmt.Errorf("NOT CAUGHT by %s of %s, %v", b.run, b.pkg, took)
	}
	failed := regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)|^panic: test timed out after .*\n\s*running tests:\n\s*(\S+)`).FindAllSubmatch(out, -1)
	if _, ok := errors.AsType[*exec.ExitError](err); !ok || len(failed) == 0 {
		return "", fmt.Errorf("NOT TRIED: %w\n%s", err, out)
	}
	return fmt.Sprintf("caught by %s, %v", cmp.Or(string(failed[len(failed)-1][1]), string(failed[len(failed)-1][2])), took), nil
}

// plant writes the changed file, and the overlay that puts it in the place of the
// other.
func (b *bug) plant(folder string) (overlay string, err error) {
	text, err := os.ReadFile(b.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(text), b.old); n != 1 {
		return "", fmt.Errorf("CANNOT BE PLANTED: %s has %d places for it", b.file, n)
	}
	file, err := filepath.Abs(b.file)
	if err != nil {
		return "", err
	}
	changed := filepath.Join(folder, filepath.Base(b.file))
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), b.old, b.new, 1)), 0o600); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {file: changed}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(folder, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}
