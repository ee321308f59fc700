package storm_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orbitd/orbitd/tests/scene"
)

// patience is how long nothing at all may happen before a test gives up. It asserts
// nothing about speed.
const patience = 2 * time.Minute

// Guesses from everywhere for everybody, which no guard can tell from people: the
// daemon's memory stays what two passwords at a time take, the directory's connections
// are as few as ever, others publish meanwhile, and who knows a password gets in.
func TestGuesses(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes both processors for half a minute")
	}
	d, directory := start(t, users)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	defer client.CloseIdleConnections()
	for range 4 { // what a few logins take
		_, _, err := login(t.Context(), client, d, "nobody", "guess", "192.0.2.1")
		must(t, err)
	}
	before := peak(t, d.PID())

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var storm sync.WaitGroup
	var guesses, refused, unchecked atomic.Int64
	guess := func(n int) {
		from := fmt.Sprintf("10.%d.%d.%d", n>>16&255, n>>8&255, n&255)
		switch status, _, err := login(ctx, client, d, fmt.Sprint("user", n), "guess", from); {
		case ctx.Err() != nil:
		case err != nil:
			t.Error(err)
		case status == http.StatusUnauthorized:
			refused.Add(1)
		case status == http.StatusServiceUnavailable:
			unchecked.Add(1)
		default:
			t.Errorf("a guess is answered by %d", status)
		}
	}
	calm := make(chan struct{}) // closed when everybody has done what they wanted
	for range 400 {             // at once, more than may wait
		storm.Go(func() { guess(int(guesses.Add(1))) })
	}
	for range 20 { // and on and on
		storm.Go(func() {
			for {
				select {
				case <-calm:
					return
				default:
					guess(int(guesses.Add(1)))
				}
			}
		})
	}
	var people sync.WaitGroup
	for i, who := range []string{"alice", "bob", "carol", "dave", scene.User, "alice", "bob", "carol"} {
		password := who + "-secret"
		if who == scene.User {
			password = scene.Password
		}
		people.Go(func() { enter(ctx, t, client, d, who, password, fmt.Sprintf("192.0.2.%d", 100+i)) })
	}
	for i := range 200 {
		answer, err := client.Post(d.URL()+"/v1/publish/open/a", "application/json", strings.NewReader(fmt.Sprint(i)))
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("a publish meanwhile: %v, %v", answer, err)
		}
		answer.Body.Close()
	}
	people.Wait()
	close(calm)
	storm.Wait()
	after, connections := peak(t, d.PID()), directory.Logged(`conn=\d+ fd=\d+ ACCEPT`)
	t.Logf("%d guesses, %d refused, %d could not be checked; %d MiB at most, %d before; %d connections to the directory, %d binds",
		guesses.Load(), refused.Load(), unchecked.Load(), after, before, connections, directory.Logged(`BIND dn="uid=[^"]*" method=128`))
	if after-before > 128 { // each of two takes 19, and there is garbage
		t.Errorf("the guesses have taken %d MiB", after-before)
	}
	if connections > 100 {
		t.Errorf("%d connections to the directory", connections)
	}
	if ctx.Err() != nil {
		t.Error("somebody has not got in")
	}
}

// enter logs in, again and again while that cannot be checked.
func enter(ctx context.Context, t *testing.T, client *http.Client, d *scene.Daemon, user, password, from string) {
	for tries := 1; ctx.Err() == nil; tries++ {
		status, token, err := login(ctx, client, d, user, password, from)
		switch {
		case err == nil && status == http.StatusOK && token != "":
			t.Logf("%s is in at attempt %d", user, tries)
			return
		case err == nil && status != http.StatusServiceUnavailable:
			t.Errorf("%s is answered by %d", user, status)
			return
		}
	}
}
