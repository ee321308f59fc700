// Package loopback finds addresses for servers of tests that end and come back.
package loopback

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Free takes ports from below those that Linux gives to whoever asks for none
// (ip_local_port_range of ip(7): from 32768), so that nothing else gets one of them
// while its server is away.
const (
	first = 20_000
	count = 12_000
)

// given are the ports that were returned before.
var given sync.Map

// Free returns an address of 127.0.0.1 on which nobody listens, each one once.
func Free() (string, error) {
	var err error
	for range 100 {
		port := first + rand.IntN(count)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errors.Join(errors.New("no free port is found"), err)
}
