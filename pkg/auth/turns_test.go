package auth_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/orbitd/orbitd/pkg/auth"
)

// No more logins are checked at a time than may be, so many wait, and who comes
// then is told that it could not be found out; so is who does not wait any longer.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 8
		turns := auth.NewTurns(1, most)
		end, err := turns.Take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ends := make(chan func(), most)
		for range most - 1 {
			go func() {
				end, err := turns.Take(t.Context())
				if err != nil {
					t.Error(err)
				}
				ends <- end
			}()
		}
		impatient, leave := context.WithCancelCause(t.Context())
		left := make(chan error)
		go func() {
			_, err := turns.Take(impatient)
			left <- err
		}()
		synctest.Wait()
		if _, err := turns.Take(t.Context()); err == nil || errors.Is(err, auth.ErrPass) || errors.Is(err, auth.ErrDenied) || !strings.Contains(err.Error(), "waiting") {
			t.Errorf("one too many: %v", err)
		}
		gone := errors.New("gone")
		leave(gone)
		if err := <-left; !errors.Is(err, gone) {
			t.Errorf("who has left: %v", err)
		}
		for range most - 1 {
			end()
			end = <-ends
		}
		end()
		if end, err = turns.Take(t.Context()); err != nil {
			t.Errorf("after all: %v", err)
		}
		end()
	})
}
