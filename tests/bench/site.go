package main

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/orbitd/orbitd/tests/bench/load"
)

// A site is a server, its clients, and the loop that plays them.
type site struct {
	*server
	*load.Fleet
	loop *load.Loop
}

// on runs f with a fresh server and a fleet.
func on(start func() (*server, error), f func(*site) (figures, error)) (result figures, err error) {
	s, err := start()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	loop, err := load.NewLoop()
	if err != nil {
		return nil, err
	}
	defer loop.Close()
	loop.TLS = s.tls
	return f(&site{s, load.NewFleet(loop, s.dialect, s.address), loop})
}

// both returns a scenario's measures for orbitd and the bare loop.
func both(f func(*site) (figures, error)) (orbitd, bare measure) {
	return orbitdOnly(f), func(b *bench) (figures, error) { return on(b.startBareLoop, f) }
}

func orbitdOnly(f func(*site) (figures, error)) measure { return over(load.WebSocket, false, f) }

func secureOnly(f func(*site) (figures, error)) measure { return over(load.WebSocket, true, f) }

// backEnds measures orbitd with clients that log in by STOMP.
func backEnds(f func(*site) (figures, error)) measure {
	return func(b *bench) (figures, error) {
		return on(func() (*server, error) {
			folder, err := b.temp()
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(folder, "users"), []byte(users), 0o600); err != nil {
				return nil, err
			}
			s, err := b.startDoor(load.StompTCP.Door(), folder, backEnd)
			if s != nil {
				s.dialect = load.Stomp{Over: load.StompTCP, Login: "login:bench\npasscode:demo\n"}
			}
			return s, err
		}, f)
	}
}

// over measures orbitd with clients that connect that way, with TLS or without.
func over(way load.Way, secure bool, f func(*site) (figures, error)) measure {
	return func(b *bench) (figures, error) {
		return on(func() (*server, error) {
			start := func() (*server, error) { return b.startDoor(way.Door(), "", rate) }
			if secure {
				start = func() (*server, error) { return b.startSecure(way.Door() + "s") }
			}
			s, err := start()
			if s != nil {
				s.dialect = way.Dialect()
			}
			return s, err
		}, f)
	}
}
